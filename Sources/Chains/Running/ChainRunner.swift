import Collectives
import Datasets
import Foundation
import Models
import Platform
import Teachers
import Tensors
import Training

/// Somebody who shows how a chain goes; called on every rank, speaks on rank 0.
public protocol ChainObserver: TrainingObserver {
  /// A warning with figure and remedy.
  func warning(_ text: String)
  /// A step begins.
  func began(_ step: ResolvedStep, of count: Int, values: TrainingConfiguration, ratio: Double?)
  /// A step was committed by an earlier run and is left as it is.
  func skipped(_ step: ResolvedStep, report: StepReport)
  /// A step has been committed.
  func finished(_ step: ResolvedStep, report: StepReport)
}

/// Runs the steps of a plan in order, each to its commit, leaving out those that are committed already.
public final class ChainRunner {
  let plan: ChainPlan
  private let observer: any ChainObserver
  let communicator: any Communicator
  /// Evaluated teachers with their classes, by the digest of their files.
  private var evaluated: [String: (EvaluationResult, classCount: Int)] = [:]
  /// Whether a step has been trained in this process.
  private var hasTrained = false
  /// Digests of models that no step of the chain writes, by their directory: hundreds of megabytes are read once.
  private var digests: [String: String] = [:]

  /// A runner of the plan on the communicator that the plan was made on; nothing is read or written yet.
  public init(_ plan: ChainPlan, observer: any ChainObserver, on communicator: any Communicator) {
    self.plan = plan
    self.observer = observer
    self.communicator = communicator
  }

  /// Refuses to go on when any output exists (`--fresh`). Collective.
  public func requireNoOutputs() throws {
    try communicator.agree {
      for step in plan.steps where !((try? listDirectory(step.outputDirectory)) ?? []).isEmpty {
        throw RetortError(
          .configuration, "the output directory of step \(step.id) is not empty", at: step.outputDirectory,
          remedy: "remove it, choose another output_dir, or run without --fresh to continue")
      }
    }
  }

  /// Refuses outputs that could not be written, before hours go into them; makes nothing. Collective.
  public func requireWritableOutputs() throws {
    try communicator.agree {
      for step in plan.steps {
        do { try requireWritable(directory: step.outputDirectory) } catch {
          throw RetortError.wrap(error).located(step.configuration.source.location(of: "output_dir"))
        }
      }
    }
  }

  /// Evaluates the teachers that exist before the chain starts; refuses those at chance level. Collective.
  public func checkTeachers() throws {
    for step in plan.steps {
      guard let teacher = step.teacher, case .directory = teacher.place else { continue }
      let digest = try communicator.agree { try self.digest(of: teacher.place) }
      try Trace.span("check teacher") { try check(digest, step) { try self.teacher(of: step, digest) } }
    }
  }

  /// Runs the chain; collective. Every rank gets the report.
  public func run() throws -> ChainReport {
    var reports: [StepReport] = []
    for step in plan.steps {
      let inputs = try Trace.span("inputs") { try communicator.agree { try self.inputs(of: step) } }
      try communicator.requireEqual(inputs.text(), label: "the plan of step \(step.id)")
      if let report = try committed(step, inputs) {
        observer.skipped(step, report: report)
        reports.append(report)
      } else {
        reports.append(try Trace.span(named: step.id) { try run(step, inputs) })
      }
      // Memory of one step's models is of no use to the next one's sizes.
      StoragePool.trim()
    }
    return ChainReport(name: plan.chain.metadata.name, steps: reports)
  }

  /// The report of a step that is committed with these inputs and whose student is still there. Rank 0 decides.
  private func committed(_ step: ResolvedStep, _ inputs: JSON) throws -> StepReport? {
    let manifest = communicator.isFirst ? StepManifest.read(from: step.outputDirectory) : nil
    let isCurrent = manifest.map { $0.inputs == inputs && $0.matches(step.outputDirectory) } ?? false
    let text = try communicator.broadcast(text: isCurrent ? manifest!.results.text() : "")
    return text.isEmpty ? nil : StepReport.committed(try JSON(parsing: text), id: step.id)
  }

  private func run(_ step: ResolvedStep, _ inputs: JSON) throws -> StepReport {
    let clock = ContinuousClock()
    let start = clock.now
    let data = plan.data[step.index]
    let digest = inputs["teacher"]?.string
    let teacher = try Trace.span("load teacher") { try digest.map { try self.teacher(of: step, $0) } }
    if let teacher, let digest { try Trace.span("check teacher") { try check(digest, step) { teacher } } }
    let student = try Trace.span("load student") {
      try communicator.agree { try loadStudent(step, data.student) }
    }
    let values = plan.values(of: step)
    let ratio = teacher.map { Double($0.parameterCount) / Double(student.model.parameterCount) }
    observer.began(step, of: plan.steps.count, values: values, ratio: ratio)
    if let summary = student.report.summary { observer.note("\(step.student.reference): \(summary)") }
    try communicator.agree {
      if communicator.isFirst { StepManifest.remove(from: step.outputDirectory) }
      try makeDirectory(step.outputDirectory)
    }
    let trainer = Trainer(
      values, student: student.model, teacher: teacher, train: data.student.train, on: communicator)
    let training = try TrainingRun(
      trainer, train: data.student.train, validation: data.student.validation, planDigest: Digest.of(inputs.text()),
      directory: step.outputDirectory, observer: observer, on: communicator)
    let startSeconds = (hasTrained ? nil : ProcessStart.secondsAgo) ?? (clock.now - start).seconds
    hasTrained = true
    let result = try training.run()
    let seconds = (clock.now - start).seconds
    // Afterwards, so that nobody waits for it before the first step.
    let limit = try Trace.span("rate of products") { try ArithmeticLimit.measure(values.precision, on: communicator) }
    let report = StepReport(
      id: step.id, model: step.student.configuration.shapeText, parameters: student.model.parameterCount,
      ratio: Double(plan.firstTeacherParameters) / Double(student.model.parameterCount),
      teacher: step.teacher?.reference, metric: values.metric.rawValue, value: result.best.value,
      correct: result.best.result.isOfDocuments ? nil : result.best.result.correct, count: result.best.result.count,
      seconds: seconds,
      examplesPerSecond: result.examplesPerSecond, tokensPerSecond: result.tokensPerSecond, gigaflops: result.gigaflops,
      utilisation: result.gigaflops / limit.reduce(0, +), wasCommitted: false)
    let cache = try SignalReport(of: teacher, on: communicator)
    if let cache { observer.note(cache.text) }
    try Trace.span("commit") {
      try commit(step, inputs, student, training, result, report, cache, startSeconds: startSeconds)
    }
    observer.finished(step, report: report)
    return report
  }

  /// Moves the best student to its place and writes the manifest last.
  private func commit(
    _ step: ResolvedStep, _ inputs: JSON, _ student: LoadedModel, _ training: TrainingRun, _ result: TrainingResult,
    _ report: StepReport, _ cache: SignalReport?, startSeconds: Double
  ) throws {
    try communicator.agree("committing step \(step.id)") {
      guard communicator.isFirst else { return }
      let directory = step.outputDirectory
      try ModelWriter.assemble(
        directory: directory, configuration: student.configuration, weights: training.bestWeightsPath,
        tokenizerFiles: step.student.tokenizer?.files ?? [])
      var results = report.json.object ?? [:]
      results["best_step"] = .int(result.best.step)
      results["steps"] = .int(result.steps)
      results["loss"] = .double(result.best.result.loss)
      results["start_seconds"] = .double(startSeconds)
      results["ranks"] = .int(communicator.size)
      if let cache { results["teacher_cache"] = cache.json }
      let manifest = StepManifest(
        inputs: inputs, results: .object(results),
        weightsDigest: try Digest.ofFile(joinPath(directory, "model.safetensors")))
      try manifest.write(to: directory)
    }
    training.removeCheckpoints()
  }

  /// Everything that decides the student of a step: values and digests.
  private func inputs(of step: ResolvedStep) throws -> JSON {
    let data = plan.data[step.index]
    var object: [String: JSON] = [
      "step_id": .string(step.id), "student_configuration": .object(step.student.configuration.json),
      "student_tokenizer": step.student.tokenizer.map { .string($0.tokenizer.digest) } ?? .null,
      "train": .string(data.student.train.digest), "validation": .string(data.student.validation.digest),
      "labels": .array(plan.labels.names.map(JSON.string)), "max_length": step.maxLength.map(JSON.int) ?? .null,
      "precision": .string(plan.precision(of: step).rawValue), "values": .object(plan.values(of: step).json),
    ]
    switch step.student.origin {
    case .random: object["student_base"] = "random"
    case .checkpoint(let place):
      object["student_base"] = .string(try digest(of: place))
    case .teacherLayers(let layers, _): object["student_base"] = ["teacher_layers": .array(layers.map(JSON.int))]
    }
    if let teacher = step.teacher {
      object["teacher"] = .string(try digest(of: teacher.place))
      object["teacher_name"] = .string(teacher.reference)
      object["teacher_tokenizer"] = teacher.tokenizer.map { .string($0.tokenizer.digest) } ?? .null
    }
    return .object(object)
  }

  /// The digest of a model's files; those of a step are read anew, since the step may have run in the meantime.
  private func digest(of place: ModelPlace) throws -> String {
    let directory = plan.directory(of: place)
    guard case .directory = place else { return try ModelDigest.of(directory: directory) }
    if let known = digests[directory] { return known }
    let digest = try ModelDigest.of(directory: directory)
    digests[directory] = digest
    return digest
  }

  private func loadStudent(_ step: ResolvedStep, _ data: SplitData) throws -> LoadedModel {
    let student = step.student
    let seed = plan.chain.metadata.seed
    let origin: WeightOrigin
    switch student.origin {
    case .random: origin = .random
    case .checkpoint(let place): origin = .checkpoint(try weights(place))
    case .teacherLayers(let layers, let place): origin = .layers(layers, of: try weights(place))
    }
    let loaded = try ModelLoader.load(student.configuration, from: origin, seed: seed)
    if case .random = origin, let perceptron = loaded.model as? Perceptron, let columns = data.columns {
      perceptron.standardize(means: columns.means, deviations: columns.deviations)
    }
    return loaded
  }

  private func evaluate(_ teacher: any Teacher, _ data: any ExampleSource) throws -> EvaluationResult {
    guard data.kind == .languageModeling else {
      return try Evaluator.evaluate(data, classCount: teacher.classCount, on: communicator) {
        try teacher.signals(for: $0, in: .validation).materialized
      }
    }
    return try Evaluator.evaluate(documents: data, on: communicator) {
      let labels = data.batch($0).targets.filter { $0 >= 0 }
      return try teacher.signals(for: $0, in: .validation).crossEntropySum(labels: labels)
    }
  }

  /// Evaluates a teacher once on the validation split and refuses it at chance level.
  private func check(_ digest: String, _ step: ResolvedStep, _ load: () throws -> any Teacher) throws {
    guard let data = plan.data[step.index].teacher, let name = step.teacher?.reference else { return }
    if evaluated[digest] == nil {
      let teacher = try load()
      let result = try evaluate(teacher, data.validation)
      evaluated[digest] = (result, teacher.classCount)
      observer.note("teacher \(name) on the validation split: \(result.text)")
    }
    guard let (result, classCount) = evaluated[digest], !Preflight.hasLearnt(result, classCount: classCount) else {
      return
    }
    let how =
      result.isOfDocuments
      ? "perplexity \(fixed(result.perplexity, 1)) with a vocabulary of \(grouped(classCount))"
      : "balanced accuracy \(fixed(result.balancedAccuracy, 4)) over \(classCount) classes, "
        + "\(result.correct) of \(result.count) correct"
    let what = "the teacher \(name) is at chance level on the validation split: \(how)"
    if step.configuration.allowUntrainedTeacher {
      observer.warning("step \(step.id): \(what); allow_untrained_teacher lets it teach all the same")
      return
    }
    var error = RetortError(
      .preflight, what, at: step.configuration.source.location(of: "teacher"),
      remedy: "fine-tune the teacher first (a step with teacher: null), or set allow_untrained_teacher: true")
    error.isCollective = true
    throw error
  }
}
