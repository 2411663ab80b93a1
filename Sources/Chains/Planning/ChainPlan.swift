import Collectives
import Datasets
import Foundation
import Models
import Platform
import Safetensors
import Teachers
import Tensors

/// A chain that has been checked as far as possible before anything runs.
package struct ChainPlan {
  /// The chain file with overrides.
  package let chain: ChainConfiguration
  /// The chain steps in the order in which they run.
  package let steps: [ResolvedStep]
  /// The classes of the data, in the order of every model's logits; empty for language modelling.
  package let labels: LabelNames
  /// Warnings, with figure and remedy.
  package let warnings: [String]
  /// Remarks, such as the rows of each class and how labels are read.
  package let remarks: [String]
  /// The value of `precision: auto`: bf16 if the CPU of every rank multiplies it natively, otherwise fp32.
  package let automaticPrecision: Precision
  let locator: ModelLocator
  /// The directory for tokens and teacher signals; nil keeps them in memory only.
  let cacheDirectory: String?
  let registry: DataRegistry
  /// The data of each step in the tokens of its student and of its teachers.
  let data: [(student: SplitData, teachers: [SplitData])]

  /// Checks a chain: references, models, labels, tokenizers, every row of the data. Collective.
  ///
  /// - Parameters:
  ///   - chain: must be the same on all ranks; otherwise throws `.preflight`.
  ///   - cacheDirectory: for tokens and teacher signals; nil keeps them in memory.
  ///   - checksPlacement: false for commands that do not train, and so need no ranks for teachers.
  /// Throws the first error, on all ranks, before anything is written.
  package static func make(
    _ chain: ChainConfiguration, locator: ModelLocator, cacheDirectory: String?, checksPlacement: Bool = true,
    on communicator: any Communicator
  ) throws -> ChainPlan {
    try communicator.requireEqual(chain.digestText, label: "the chain file")
    let (task, files) = try communicator.agree {
      (try TaskDescription(chain.metadata.task), try locator.locateDataset(of: chain))
    }
    // The data determines the collective calls of a rank, so all ranks must read the same.
    try communicator.requireSameFiles(files.train.paths + files.validation.paths)
    let file = try communicator.agree {
      try StopRequest.refuse("while the data was read; nothing has been trained")
      return try task.open(files.train)
    }
    let texts = try communicator.agree { try task.columns(in: file) }
    let readsIDs = texts.ids != nil
    let classes = try LabelResolution.outputs(task, chain, locator, files, on: communicator)
    let labels = classes?.names ?? LabelNames([])
    var remarks = files.remarks + (classes?.notes ?? [])
    if task.definition.head == .sequence {
      if let partner = TaskDescription.unreadPartner(of: texts, in: file) {
        remarks.append(
          "\(file.path): the column \(quoted(partner)) is not read; task: {text_pair: \(partner)} reads it"
        )
      }
    }
    var steps = try communicator.agree {
      try StepResolver(chain: chain, locator: locator, labels: classes?.names, kind: task.kind).resolve()
    }
    try communicator.requireEqual(steps.flatMap(\.fingerprints))
    let registry = DataRegistry(
      files, task: task, labels: classes?.set, cacheDirectory: cacheDirectory,
      cacheLimit: chain.parallel.teacherPlacement.cacheLimit, on: communicator)
    let native: Precision = try communicator.all(Precision.native == .bf16) ? .bf16 : .fp32
    var warnings = chain.advice() + files.warnings + (classes?.warnings ?? [])
    var data: [(student: SplitData, teachers: [SplitData])] = []
    for (index, step) in steps.enumerated() {
      warnings += try communicator.agree {
        try Preflight.check(
          step, chain, labels: labels, kind: task.kind, readsIDs: readsIDs, native: native)
      }
      if checksPlacement {
        try communicator.agree { try Preflight.checkPlacement(of: step, chain.parallel, ranks: communicator.size) }
      }
      try communicator.requireNoStop("while the data was read; nothing has been trained")
      let opened = try open(step, registry, kind: task.kind)
      warnings += try communicator.agree {
        try Preflight.check(step, opened.student)
        try Preflight.checkMetric(of: step, task.kind, labels)
        return try Preflight.checkLabels(of: step, opened.student)
      }
      steps[index] = step.recording(
        TaskRecord(
          task, columns: texts, reading: classes?.set.reading,
          metric: step.hyperparameters.metric(for: task.kind, labels: labels.names).rawValue,
          maxLength: task.definition.readsTokens ? step.maxLength : nil), opened.student.columns)
      data.append(opened)
    }
    warnings += registry.notes
    // Warnings about a model that several steps use appear once.
    var said: Set<String> = []
    warnings = warnings.filter { said.insert($0).inserted }
    return ChainPlan(
      chain: chain, steps: steps, labels: labels, warnings: warnings, remarks: remarks, automaticPrecision: native,
      locator: locator, cacheDirectory: cacheDirectory, registry: registry, data: data)
  }

  /// The data in the student's and in the teacher's tokens, which are the same for documents, since language models are
  /// compared token by token.
  private static func open(_ step: ResolvedStep, _ registry: DataRegistry, kind: TaskKind) throws
    -> (student: SplitData, teachers: [SplitData])
  {
    if kind.definition.targets == .nextTokens {
      let student = step.student
      let documents = try registry.documents(
        for: student.tokenizer?.tokenizer, endOfText: student.configuration.endOfText, rowLength: step.maxLength,
        vocabulary: step.sharedTokens ?? step.vocabularies.min())
      return (documents, step.teachers.map { _ in documents })
    }
    func data(_ tokenizer: TokenizerFiles?, _ configuration: ModelConfiguration) throws -> SplitData {
      try registry.data(
        for: tokenizer?.tokenizer, maxLength: step.maxLength, model: configuration)
    }
    let student = try data(step.student.tokenizer, step.student.configuration)
    let teachers = try step.teachers.map { try data($0.model.tokenizer, $0.model.configuration) }
    for (teacher, own) in zip(step.teachers, teachers) {
      try Preflight.requireSameRows(own, teacher.model.reference, student, step)
    }
    return (student, teachers)
  }

  /// The precision of a chain step, and by default of its teacher.
  func precision(of step: ResolvedStep) -> Precision {
    switch step.hyperparameters.precision {
    case .auto: automaticPrecision
    case .fp32: .fp32
    case .bf16: .bf16
    }
  }

  /// The precision of a teacher's passes.
  func precision(of teacher: ResolvedTeacher, in step: ResolvedStep) -> Precision {
    switch teacher.placement.precision {
    case .auto: precision(of: step)
    case .fp32: .fp32
    case .bf16: .bf16
    }
  }

  /// The payload of a teacher's signals; the rest of a top-k is at the temperature of the step's terms.
  func payload(of teacher: ResolvedTeacher, in step: ResolvedStep) -> SignalPayload {
    teacher.placement.signalPayload(
      temperature: step.configuration.temperatures.first?.from ?? 1, among: step.sharedTokens)
  }

  /// The classes of the data; nil for language modelling.
  var classes: LabelNames? { labels.names.isEmpty ? nil : labels }

  /// Whether teacher signals are small enough to be cached.
  var keepsSignals: Bool { chain.metadata.task.kind.definition.keepsSignals }

  /// The directory of a model: its own, or the output of the step that trains it.
  func directory(of place: ModelPlace) -> String {
    switch place {
    case .directory(let path): path
    case .step(let index): steps[index].outputDirectory
    }
  }

  /// The parameters of the first teacher from outside the chain, to which ratios refer; without one, those of the first
  /// step's student.
  var firstTeacherParameters: Int {
    let outside = steps.lazy.flatMap(\.teachers).map(\.model).first {
      if case .directory = $0.place { true } else { false }
    }
    let model = outside.flatMap { try? ModelLoader.build($0.configuration) }
    return model?.parameterCount ?? steps[0].student.parameterCount
  }
}

extension ResolvedStep {
  /// The values of the step's models that must be equal on all ranks before the data is read. Weights are compared when
  /// they are digested.
  fileprivate var fingerprints: [Fingerprint] {
    let models =
      teachers.map { ("teacher \($0.role.name)", Optional($0.model.configuration), $0.model.tokenizer) }
      + [("student", Optional(student.configuration), student.tokenizer)]
    return models.flatMap { role, configuration, tokenizer in
      [
        Fingerprint(
          "the configuration of the \(role) of step \(id)", configuration.map { JSON.object($0.json).text() } ?? ""),
        Fingerprint("the tokenizer of the \(role) of step \(id)", tokenizer?.tokenizer.digest ?? ""),
      ]
    }
  }

  /// The step with its task and the names of numeric columns recorded in the student's configuration.
  fileprivate func recording(_ task: TaskRecord, _ columns: FeatureColumns?) -> ResolvedStep {
    var keys = [TaskRecord.key: task.json]
    if let columns { keys["feature_columns"] = .array(columns.names.map(JSON.string)) }
    let named = student.configuration.setting(keys)
    return ResolvedStep(
      index: index, configuration: configuration, teachers: teachers,
      student: ResolvedStudent(
        reference: student.reference, origin: student.origin, configuration: named, tokenizer: student.tokenizer,
        parameterCount: student.parameterCount, head: student.head, remarks: student.remarks),
      outputDirectory: outputDirectory, maxLength: maxLength)
  }
}
