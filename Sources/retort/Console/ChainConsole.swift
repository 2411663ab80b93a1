import Chains
import Platform
import Training

/// The output format of a run.
enum LogFormat: String, CaseIterable, Sendable {
  /// For people: a progress bar on a terminal, lines in a file.
  case plain
  /// For programs: one JSON object per line.
  case json
}

/// Shows the progress of a chain; only rank 0 prints.
final class ChainConsole: ChainObserver {
  private let format: LogFormat
  private let speaks: Bool
  private let isResult: Bool
  private let isInteractive: Bool
  private let clock = ContinuousClock()
  private var stepID = ""
  private var stepStart: ContinuousClock.Instant
  private var lastShown: ContinuousClock.Instant
  /// Examples since the chain step began; tokens for documents.
  private var done = 0
  private var isOfDocuments = false
  private var stepsSeen = 0
  private var hasOpenLine = false
  /// Whether standard output is lost.
  private var isSilent = false
  /// The least time between two lines of progress in a file.
  private static let interval = Duration.seconds(5)

  /// - Parameters:
  ///   - speaks: whether this rank prints.
  ///   - isResult: whether the output is the command's result, so that losing it is a failure.
  init(_ format: LogFormat, speaks: Bool, isResult: Bool = false) {
    self.format = format
    self.speaks = speaks
    self.isResult = isResult
    isInteractive = Terminal.isInteractive
    stepStart = clock.now
    lastShown = clock.now
  }

  func warning(_ text: String) { say("warning: \(text)", ["event": "warning", "text": .string(text)]) }

  func note(_ text: String) { say("  \(text)", ["event": "note", "text": .string(text)]) }

  func began(
    _ step: ResolvedStep, of count: Int, stages: [(name: String?, values: TrainingConfiguration)], ratio: Double?
  ) {
    let values = stages[0].values
    stepID = step.id
    stepStart = clock.now
    (done, stepsSeen) = (0, 0)
    let names = step.teachers.map(\.model.reference).joined(separator: ", ")
    let teacher = step.teachers.isEmpty ? "no teacher (fine-tuning)" : "teacher \(names)"
    let times = ratio.map { ", \(fixed($0, 1)) times the student" } ?? ""
    var text = "step \(step.index + 1) of \(count): \(step.id)\n"
    text += "  \(teacher)\(times); student \(step.student.configuration.shapeText) from \(step.student.reference), "
    text += "\(grouped(step.student.parameterCount)) parameters\n"
    text += "  \(values.sharingText)"
    for stage in stages {
      let pairs = stage.values.json.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.text())" }
      text += "\n  \(stage.name.map { "values of stage \($0)" } ?? "values"): " + pairs.joined(separator: ", ")
    }
    say(
      text,
      [
        "event": "began", "step_id": .string(step.id), "values": .object(values.json),
        "stages": .array(
          stages.compactMap { stage in
            stage.name.map { ["name": .string($0), "values": .object(stage.values.json)] }
          }),
        "student_sharding": .string(values.sharding.rawValue),
        "activation_checkpointing": .bool(values.activationCheckpointing),
      ])
  }

  func foresaw(_ outlook: StepOutlook) {
    say("step \(outlook.id) in \(outlook.directory) \(outlook.text)", outlook.json)
    outlook.remarks.forEach(warning)
  }

  func skipped(_ step: ResolvedStep, report: StepReport) {
    say(
      "step \(step.index + 1): \(step.id) is committed already (\(report.metricText) \(report.valueText))",
      ["event": "skipped", "report": report.json])
  }

  func finished(_ step: ResolvedStep, report: StepReport) {
    var arithmetic = ""
    if let rate = report.gigaflops, let utilisation = report.utilisation {
      arithmetic = ", \(fixed(rate, 1)) GFLOP/s (MFU \(fixed(100 * utilisation, 1)) %)"
    }
    say(
      "  committed to \(step.outputDirectory): \(report.metricText) \(report.valueText) "
        + "(\(report.countText)) in \(fixed(report.seconds, 1)) s, "
        + "\(report.rateText)\(arithmetic)",
      ["event": "finished", "report": report.json])
  }

  func trained(_ record: StepRecord) {
    guard speaks else { return }
    // Rows of documents have nearly equal token counts.
    isOfDocuments = record.lossRows > record.examples
    done += isOfDocuments ? record.tokens : record.examples
    stepsSeen += 1
    if format == .json {
      var line = record.json.object ?? [:]
      line["step_id"] = .string(stepID)
      put(JSON.object(line).text() + "\n")
      return
    }
    let now = clock.now
    let isDue = isInteractive || now - lastShown >= ChainConsole.interval || record.step == record.totalSteps
    guard isDue else { return }
    lastShown = now
    let seconds = max(1e-9, (now - stepStart).seconds)
    let rate = Double(done) / seconds
    let left = Double(record.totalSteps - record.step) * seconds / Double(stepsSeen)
    let figures =
      "step \(record.step)/\(record.totalSteps)  loss \(fixed(record.loss, 4))  "
      + "\(fixed(rate, 0)) \(isOfDocuments ? "tokens" : "examples")/s  ETA \(duration(left))"
    if isInteractive {
      put("\r\u{1B}[2K  \(bar(record))  \(figures)")
      hasOpenLine = true
    } else {
      put("  \(figures)\n")
    }
  }

  func evaluated(_ record: EvaluationRecord) {
    let mark = record.isBest ? " (best so far)" : ""
    var line = record.json.object ?? [:]
    line["step_id"] = .string(stepID)
    let figures =
      record.result.count == 0
      ? "no validation label to compare with"
      : "\(record.result.title(of: record.metric)) \(fixed(record.value, 4)), "
        + (record.metric == .accuracy ? "\(record.result.correct) of \(record.result.count) correct, " : "")
        + (record.result.measuresLoss ? "loss \(fixed(record.result.loss, 4))" : "\(record.result.count) pairs") + mark
    say("  epoch \(fixed(record.epoch, 2)), step \(record.step): \(figures)", .object(line))
  }

  /// The end of the chain.
  func show(_ report: ChainReport) {
    say(
      "\nchain \(report.name)\n\(report.text)",
      ["event": "report", "name": .string(report.name), "steps": .array(report.steps.map(\.json))])
  }

  func say(_ text: String, _ json: @autoclosure () -> JSON) {
    guard speaks else { return }
    if hasOpenLine {
      put("\n")
      hasOpenLine = false
    }
    put((format == .json ? json().text() : text) + "\n")
  }

  /// Writes to standard output until that fails; the failure is reported once on standard error. The results of a run
  /// are files, so it continues without a reader.
  private func put(_ text: String) {
    if isResult { return Terminal.write(text) }
    if isSilent { return }
    guard let reason = Terminal.writeProgress(text) else { return }
    isSilent = true
    Terminal.write(
      "retort: standard output: \(reason); the run continues, and training/metrics.jsonl of each output directory "
        + "has its figures.\n", toError: true)
  }

  private func bar(_ record: StepRecord) -> String {
    let width = 24
    let filled = width * record.step / max(1, record.totalSteps)
    return "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled) + "]"
  }

  private func duration(_ seconds: Double) -> String {
    let whole = Int(min(seconds, 1e9).rounded())
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return whole >= 3600
      ? "\(whole / 3600):\(two(whole / 60 % 60)):\(two(whole % 60))" : "\(whole / 60):\(two(whole % 60))"
  }
}
