import Datasets
import Platform

/// The progress of a run between two optimizer steps.
package struct TrainingState: Equatable {
  /// The number of completed optimizer steps of all training stages.
  var step = 0
  /// The current training stage, from 0.
  var stage = 0
  /// The optimizer steps of the earlier stages.
  var stageStart = 0
  /// The results of the earlier stages.
  var stages: [StageResult] = []
  /// The best evaluation of the current stage.
  var best: EvaluationRecord?
  var evaluationsSinceBest = 0
  /// Whether early stopping ended the current stage.
  var isStopped = false
  /// The steps that take no update, in ascending order: those whose loss or gradient was not finite, and those that are
  /// left out since a return to a checkpoint, which may still be ahead.
  var leftOut: [Int] = []
  /// The last steps whose loss or gradient was not finite, in a row.
  var skippedInARow = 0
  /// How often the run has gone back to a checkpoint.
  var returns = 0

  /// The form of `state.json`.
  package var json: JSON {
    var object: [String: JSON] = [
      "step": .int(step), "evaluations_since_best": .int(evaluationsSinceBest), "stopped": .bool(isStopped),
    ]
    if let best { object["best"] = TrainingState.json(of: best) }
    if !leftOut.isEmpty { object["left_out"] = .array(leftOut.map(JSON.int)) }
    if skippedInARow > 0 { object["skipped_in_a_row"] = .int(skippedInARow) }
    if returns > 0 { object["returns"] = .int(returns) }
    if stage > 0 {
      object["stages"] = .array(
        stages.map {
          ["name": .string($0.name), "steps": .int($0.steps), "best": TrainingState.json(of: $0.best)]
        })
    }
    return .object(object)
  }

  private static func json(of best: EvaluationRecord) -> JSON {
    [
      "step": .int(best.step), "epoch": .double(best.epoch), "metric": .string(best.metric.rawValue),
      "loss": TrainingState.json(ofLoss: best.result.loss), "classes": .int(best.result.classCount),
      "confusion": .array(best.result.confusion.map(JSON.int)), "count": .int(best.result.count),
      "task": .string(best.result.kind.rawValue),
      "values": .object(
        Dictionary(
          uniqueKeysWithValues: best.result.values.map { ($0.key.rawValue, TrainingState.json(ofLoss: $0.value)) })),
      "parts": .array(
        best.result.parts.map {
          [.string($0.name), .int($0.counts.correct), .int($0.counts.predicted), .int($0.counts.gold)]
        }),
    ]
  }

  /// Starts the next training stage.
  mutating func beginStage(after result: StageResult) {
    stages.append(result)
    stage += 1
    stageStart = step
    best = nil
    evaluationsSinceBest = 0
    isStopped = false
    // Numbers of steps that an early end has cancelled belong to the next stage now.
    leftOut.removeAll { $0 > step }
  }

  /// Completes a step that took an update, or none because of a fault.
  mutating func complete(_ record: StepRecord) {
    step += 1
    skippedInARow = record.fault == nil ? 0 : skippedInARow + 1
    if record.fault != nil { leaveOut([step]) }
  }

  /// Adds steps to those that take no update.
  mutating func leaveOut(_ steps: [Int]) { leftOut = Set(leftOut).union(steps).sorted() }

  /// The completed steps of the current stage that took no update.
  var leftOutOfStage: Int { leftOut.reduce(0) { $0 + ($1 > stageStart && $1 <= step ? 1 : 0) } }

  init() {}

  /// JSON has no NaN and no infinities, so such a loss is a string.
  private static func json(ofLoss loss: Double) -> JSON { loss.isFinite ? .double(loss) : .string("\(loss)") }

  private static func loss(_ json: JSON?) -> Double? {
    switch json?.string {
    case "nan", "-nan": .nan
    case "inf": .infinity
    case "-inf": -.infinity
    default: json?.double
    }
  }

  /// Parses the state of a checkpoint; throws `.checkpoint` for impossible values.
  ///
  /// - Parameter stageSteps: the optimizer steps of each stage, if it does not end early.
  package init(_ json: JSON, stageSteps: [Int]) throws {
    for item in json["stages"]?.array ?? [] {
      guard stage < stageSteps.count - 1 else { throw RetortError(.checkpoint, "it has more stages than the plan") }
      let steps = try TrainingState.count(item, "steps", in: 1...stageSteps[stage])
      let best = try TrainingState.need(item["best"], "best")
      stages.append(
        StageResult(
          name: try TrainingState.need(item["name"]?.string, "name"), steps: steps,
          best: try TrainingState.record(best, step: stageStart + steps)))
      stage += 1
      stageStart += steps
    }
    let totalSteps = stageStart + stageSteps[stage]
    step = try TrainingState.count(json, "step", in: stageStart...totalSteps)
    evaluationsSinceBest = try TrainingState.count(json, "evaluations_since_best", in: 0...step - stageStart)
    isStopped = try TrainingState.need(json["stopped"]?.bool, "stopped")
    let total = stageSteps[stage...].reduce(stageStart, +)
    for item in json["left_out"]?.array ?? [] {
      guard let place = item.int, place > leftOut.last ?? 0, place <= total else {
        throw RetortError(.checkpoint, "left_out is not an ascending list of steps up to \(total)")
      }
      leftOut.append(place)
    }
    if json["skipped_in_a_row"] != nil {
      skippedInARow = try TrainingState.count(json, "skipped_in_a_row", in: 0...step)
    }
    if json["returns"] != nil { returns = try TrainingState.count(json, "returns", in: 0...1) }
    guard let best = json["best"] else {
      // Each of the three implies an evaluation, and the first evaluation sets `best`.
      if isStopped || evaluationsSinceBest > 0 || step == totalSteps {
        throw RetortError(.checkpoint, "best is missing after an evaluation")
      }
      return
    }
    do { self.best = try TrainingState.record(best, step: step) } catch {
      throw RetortError.wrap(error).located("best")
    }
  }

  private static func record(_ json: JSON, step: Int) throws -> EvaluationRecord {
    let epoch = try need(json["epoch"]?.double, "epoch")
    guard epoch.isFinite, epoch >= 0 else { throw RetortError(.checkpoint, "epoch is \(epoch)") }
    return EvaluationRecord(
      step: try count(json, "step", in: 0...step), epoch: epoch,
      metric: try need(json["metric"]?.string.flatMap(Metric.init(rawValue:)), "metric"), result: try result(json),
      isBest: true, seconds: 0)
  }

  private static func result(_ json: JSON) throws -> EvaluationResult {
    let loss = try need(loss(json["loss"]), "loss")
    // A confusion matrix of more classes would not fit into memory.
    let classes = try count(json, "classes", in: 0...65_536)
    let cells = try need(json["confusion"]?.array, "confusion")
    guard cells.count == classes * classes else {
      throw RetortError(.checkpoint, "confusion has \(cells.count) cells for \(classes) classes")
    }
    let count = try count(json, "count", in: 0...Int(Int32.max) * 65_536)
    let kind = try need(
      TaskKind(rawValue: json["task"]?.string ?? (classes == 0 ? "language_modeling" : "classification")), "task")
    let (values, parts) = (try values(json["values"]), try parts(json["parts"]))
    if classes == 0 { return EvaluationResult(kind: kind, count: count, loss: loss, values: values, parts: parts) }
    var (sum, confusion) = (0, [Int]())
    for cell in cells {
      // Each cell is at most `count`, so the sum cannot overflow.
      guard let value = cell.int, (0...count).contains(value), sum <= count else {
        throw RetortError(.checkpoint, "confusion has a cell that is not a count of \(count) examples")
      }
      sum += value
      confusion.append(value)
    }
    guard sum == count else { throw RetortError(.checkpoint, "confusion adds up to \(sum), count is \(count)") }
    return EvaluationResult(
      kind: kind, confusion: confusion, classCount: classes, loss: loss, values: values, parts: parts)
  }

  private static func values(_ json: JSON?) throws -> [Metric: Double] {
    var values: [Metric: Double] = [:]
    for (name, value) in json?.object ?? [:] {
      values[try need(Metric(rawValue: name), "values")] = try need(loss(value), "values.\(name)")
    }
    return values
  }

  private static func parts(_ json: JSON?) throws -> [EvaluationResult.Part] {
    try (json?.array ?? []).map { item in
      let fields = item.array ?? []
      let counts = try fields.dropFirst().map { try need($0.int, "parts") }
      let name = try need(fields.first?.string, "parts")
      guard counts.count == 3, counts.allSatisfy({ $0 >= 0 }) else {
        throw RetortError(.checkpoint, "parts has no counts of \(quoted(name))")
      }
      return EvaluationResult.Part(name, MatchCounts(correct: counts[0], predicted: counts[1], gold: counts[2]))
    }
  }

  private static func need<T>(_ value: T?, _ key: String) throws -> T {
    guard let value else { throw RetortError(.checkpoint, "\(key) is missing or of another type") }
    return value
  }

  private static func count(_ json: JSON, _ key: String, in range: ClosedRange<Int>) throws -> Int {
    let value = try need(json[key]?.int, key)
    guard range.contains(value) else {
      throw RetortError(.checkpoint, "\(key) is \(value), not in \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }
}
