import Collectives
import Datasets
import Foundation
import Models
import Platform
import Teachers
import Tensors
import Training

/// Receives the events of a chain; called on every rank, prints on rank 0.
package protocol ChainObserver: TrainingObserver {
  /// Reports the start of a step.
  func began(
    _ step: ResolvedStep, of count: Int, stages: [(name: String?, values: TrainingConfiguration)], ratio: Double?)
  /// Reports the outlook of a step, before the first step runs.
  func foresaw(_ outlook: StepOutlook)
  /// Reports a step that an earlier run committed and this run keeps.
  func skipped(_ step: ResolvedStep, report: StepReport)
  /// Reports the commit of a step.
  func finished(_ step: ResolvedStep, report: StepReport)
}

/// Runs the steps of a plan in order, each up to its commit, and skips committed steps.
package final class ChainRunner {
  let plan: ChainPlan
  let observer: any ChainObserver
  let communicator: any Communicator
  /// The evaluations and class counts of evaluated teachers, by the digest of their files.
  var evaluated: [String: (EvaluationResult, classCount: Int)] = [:]
  /// The steps whose warning or remark about a teacher has been given.
  var warned: Set<Int> = []
  /// The placement reports of the current step's teachers, by their indices, except resident teachers.
  var placementReports: [Int: PlacementReport] = [:]
  /// Whether this process has trained a step.
  private var hasTrained = false
  /// Digests of models that no step of the chain writes, by directory, since each digest reads hundreds of megabytes.
  private var digests: [String: String] = [:]
  /// The permissions on output directories.
  let permissions: OutputPermissions
  /// The locked output directories; nil before `takeOutputs`, and on every rank but the first.
  var locks: OutputLocks?
  /// The outlook of each step when the directories were locked.
  var looks: [(outlook: StepOutlook, inputs: JSON?)] = []

  /// Creates a runner on the communicator of the plan; it does not read or write yet.
  package init(
    _ plan: ChainPlan, observer: any ChainObserver, permissions: OutputPermissions = OutputPermissions(),
    on communicator: any Communicator
  ) {
    self.plan = plan
    self.observer = observer
    self.permissions = permissions
    self.communicator = communicator
  }

  /// Runs the chain after `takeOutputs`; collective. Every rank gets the report.
  package func run() throws -> ChainReport {
    var reports: [StepReport] = []
    for step in plan.steps {
      try communicator.requireNoStop("before step \(step.id)")
      let known = looks.indices.contains(step.index) && looks[step.index].inputs != nil
      let look = known ? looks[step.index] : try self.look(at: step)
      if let report = look.outlook.report {
        try keep(step, look.outlook)
        observer.skipped(step, report: report)
        reports.append(report)
      } else {
        reports.append(try Trace.span(named: step.id) { try run(step, look.inputs ?? .null) })
      }
      // The next step's tensors have other sizes, so pooled memory is of no use to it.
      StoragePool.trim()
    }
    return ChainReport(name: plan.chain.metadata.name, steps: reports)
  }

  private func run(_ step: ResolvedStep, _ inputs: JSON) throws -> StepReport {
    let start = ContinuousClock().now
    let digests = ([inputs] + (inputs["more_teachers"]?.array ?? [])).compactMap { $0["teacher"]?.string }
    let trained = try withTeachers(of: step, digests) { teachers, students in
      for (place, teacher) in teachers.enumerated() {
        try Trace.span("check teacher") { try self.check(digests[place], step, place, teacher, on: students) }
      }
      return try self.train(step, inputs, teachers, on: students, since: start)
    }
    // Measured after training, so that it does not delay the first step.
    let precision = plan.precision(of: step)
    let limit = try Trace.span("rate of products") { try ArithmeticLimit.measure(precision, on: communicator) }
    if let remark = limit.remark { observer.note("MFU is too high: \(remark)") }
    let report = try self.report(of: step, trained, limit: limit.total)
    try Trace.span("commit") { try commit(step, inputs, trained, report) }
    observer.finished(step, report: report)
    return report
  }

  /// The result of a step's training.
  struct TrainedStep {
    let student: LoadedModel
    let training: TrainingRun
    let result: TrainingResult
    let cache: SignalReport?
    let startSeconds: Double
    let seconds: Double
  }

  /// Trains the student of a step; collective over the training ranks.
  private func train(
    _ step: ResolvedStep, _ inputs: JSON, _ teachers: [any Teacher], on students: any Communicator,
    since start: ContinuousClock.Instant
  ) throws -> TrainedStep {
    let clock = ContinuousClock()
    let data = plan.data[step.index]
    let (student, fill) = try Trace.span("load student") { try students.agree { try openStudent(step, data.student) } }
    let values = plan.stages(of: step)
    let ratio = teachers.first.map { Double($0.parameterCount) / Double(student.model.parameterCount) }
    observer.began(step, of: plan.steps.count, stages: values, ratio: ratio)
    if let summary = student.report.summary { observer.note("\(step.student.reference): \(summary)") }
    let planDigest = StepManifest.plan(of: inputs)
    try students.agree {
      try StopRequest.refuse("before the first optimizer step of \(step.id)")
      if students.isFirst { try begin(step, inputs) }
    }
    let shape = (student.model as? any StagedModel)?.shape
    let stages = try values.enumerated().map { index, stage in
      try TrainingStage(
        stage.values, name: stage.name, index: index, student: shape, teachers: teachers.map(\.shape))
    }
    let trainer = try Trainer(
      stages, student: student.model, teachers: teachers, train: data.student.train, fill: fill, on: students)
    if let remark = trainer.exchangeRemark {
      observer.note("\(step.id): gradients and weights travel in messages between all ranks, since \(remark)")
    }
    let training = try TrainingRun(
      trainer, train: data.student.train, validation: data.student.validation, planDigest: planDigest,
      directory: step.outputDirectory, fence: fence(of: step), observer: observer, on: students)
    let startSeconds = (hasTrained ? nil : ProcessStart.secondsAgo) ?? (clock.now - start).seconds
    hasTrained = true
    let result = try training.run()
    let cache = try SignalReport(of: teachers, on: students)
    if let cache { observer.note(cache.text) }
    return TrainedStep(
      student: student, training: training, result: result, cache: cache, startSeconds: startSeconds,
      seconds: (clock.now - start).seconds)
  }

  /// The report of a step, on all ranks; ranks that only teach receive it from rank 0.
  private func report(of step: ResolvedStep, _ trained: TrainedStep?, limit: Double) throws -> StepReport {
    let report = trained.map { trained -> StepReport in
      let (result, parameters) = (trained.result, trained.student.model.parameterCount)
      return StepReport(
        id: step.id, model: step.student.configuration.shapeText, parameters: parameters,
        ratio: Double(plan.firstTeacherParameters) / Double(parameters), teacher: step.teacherNames,
        metric: result.best.metric.rawValue, value: result.best.value,
        correct: result.best.metric == .accuracy ? result.best.result.correct : nil,
        average: result.best.metric == .f1 ? result.best.result.f1Average : nil,
        countsTokens: result.best.result.isOfDocuments, unit: result.best.result.kind.definition.unit,
        count: result.best.result.count,
        seconds: trained.seconds, examplesPerSecond: result.examplesPerSecond,
        tokensPerSecond: result.tokensPerSecond, gigaflops: result.gigaflops,
        utilisation: result.gigaflops / limit, wasCommitted: false)
    }
    let text = try communicator.broadcast(text: report?.json.text() ?? "")
    if let report { return report }
    guard var told = StepReport.committed(try JSON(parsing: text), id: step.id) else {
      throw RetortError(.unexpected, "the report of step \(step.id) cannot be read")
    }
    told.wasCommitted = false
    return told
  }

  /// Every input that determines the student of a step: values and digests; collective.
  func inputs(of step: ResolvedStep) throws -> JSON {
    let data = plan.data[step.index]
    var object: [String: JSON] = [
      "step_id": .string(step.id), "student_configuration": JSON.object(step.student.configuration.json).finite,
      "student_tokenizer": step.student.tokenizer.map { .string($0.tokenizer.digest) } ?? .null,
      "train": .string(data.student.train.digest), "validation": .string(data.student.validation.digest),
      "labels": .array(plan.labels.names.map(JSON.string)), "max_length": step.maxLength.map(JSON.int) ?? .null,
      "precision": .string(plan.precision(of: step).rawValue), "values": plan.valuesJSON(of: step),
    ]
    switch step.student.origin {
    case .random: object["student_base"] = "random"
    case .checkpoint(let place):
      object["student_base"] = .string(try digest(of: place))
    case .layers(let layers, let place):
      let indices = JSON.array(layers.map(JSON.int))
      object["student_base"] =
        place == step.teacher?.place
        ? ["teacher_layers": indices] : ["model": .string(try digest(of: place)), "layers": indices]
    }
    if step.student.head == .new { object["student_head"] = "new" }
    if let teacher = step.teachers.first { object.merge(try inputs(of: teacher, in: step)) { first, _ in first } }
    if step.teachers.count > 1 {
      object["more_teachers"] = .array(try step.teachers.dropFirst().map { .object(try inputs(of: $0, in: step)) })
    }
    return .object(object)
  }

  /// The inputs of a step that come from a teacher; collective.
  private func inputs(of teacher: ResolvedTeacher, in step: ResolvedStep) throws -> [String: JSON] {
    var object: [String: JSON] = [
      "teacher": .string(try digest(of: teacher.model.place)), "teacher_name": .string(teacher.model.reference),
      "teacher_tokenizer": teacher.model.tokenizer.map { .string($0.tokenizer.digest) } ?? .null,
    ]
    if case .topK(let count, _, _) = plan.payload(of: teacher, in: step) { object["teacher_top_k"] = .int(count) }
    let precision = plan.precision(of: teacher, in: step)
    if precision != plan.precision(of: step) { object["teacher_precision"] = .string(precision.rawValue) }
    return object
  }

  /// The digest of a model's files, cached except for the student of a step, which the run may have replaced.
  /// Collective.
  func digest(of place: ModelPlace) throws -> String {
    let directory = plan.directory(of: place)
    guard case .directory = place else { return try ModelDigest.of(directory: directory, on: communicator) }
    if let known = digests[directory] { return known }
    let digest = try ModelDigest.of(directory: directory, on: communicator)
    digests[directory] = digest
    return digest
  }

  /// The student without weights, and the function that fills each weight.
  private func openStudent(_ step: ResolvedStep, _ data: SplitData) throws
    -> (loaded: LoadedModel, fill: WeightFilling)
  {
    let student = step.student
    let seed = plan.chain.metadata.seed
    let origin: WeightOrigin
    switch student.origin {
    case .random: origin = .random
    case .checkpoint(let place): origin = .checkpoint(try weights(place, student))
    case .layers(let layers, let place): origin = .layers(layers, of: try weights(place, student))
    }
    let opened = try ModelLoader.open(student.configuration, from: origin, seed: seed)
    if case .random = origin, let perceptron = opened.loaded.model as? Perceptron, let columns = data.columns {
      perceptron.standardize(means: columns.means, deviations: columns.deviations)
    }
    return opened
  }
}
