import Datasets
import Models
import Objectives
import Planner
import Platform
import Tokenizers

/// A step resolved for a plan: the sizes of its models, and the step itself as far as configurations tell.
struct PlannedStep {
  let student: any NetworkSizes
  let teachers: [any NetworkSizes]
  /// For the checks of a run. Its models have tokenizers only if an objective compares token by token, or if the
  /// vocabularies of language models differ in size.
  let step: ResolvedStep
}

/// Resolves the models that a chain file refers to, from their config.json alone.
struct PlanResolver {
  /// A model of a step.
  private struct PlannedModel {
    let reference: String
    let place: ModelPlace
    let configuration: ModelConfiguration
    /// The directory of its tokenizer.
    let tokenizer: String?
  }

  private let chain: ChainConfiguration
  private let locator: ModelLocator
  private let classes: Int?
  /// The students of the earlier steps.
  private var students: [PlannedModel] = []

  init(chain: ChainConfiguration, locator: ModelLocator) throws {
    self.chain = chain
    self.locator = locator
    classes =
      try chain.metadata.task.kind.definition.outputCount
      ?? TaskDescription(chain.metadata.task).labelNames?.count
  }

  /// The next step; call it for each step in order.
  mutating func step(_ index: Int) throws -> PlannedStep {
    let step = chain.steps[index]
    let teachers = try teachers(of: index)
    let student = try student(of: step, index, teachers.first)
    students.append(
      PlannedModel(
        reference: step.id, place: .step(index), configuration: student.configuration, tokenizer: student.tokenizer))
    let sizes = try plannedNetwork(student.configuration, classes: classes)
    let isLanguage = chain.metadata.task.kind.definition.head == .languageModel
    let vocabulary = student.configuration.vocabularySize
    let readsTokenizers =
      step.comparesTokens || isLanguage && teachers.contains { $0.configuration.vocabularySize != vocabulary }
    func resolved(_ model: PlannedModel) throws -> ResolvedModel {
      let tokenizer = readsTokenizers ? try model.tokenizer.flatMap(TokenizerFiles.load) : nil
      return ResolvedModel(
        reference: model.reference, place: model.place, configuration: model.configuration, tokenizer: tokenizer)
    }
    let own = try resolved(student)
    let taught: [ResolvedTeacher] =
      switch step.teacher {
      case .none: []
      case .previous: try teachers.map { ResolvedTeacher(previous: try resolved($0), chain.parallel) }
      case .named(let entries):
        try zip(entries, teachers).map { ResolvedTeacher($0, try resolved($1), chain.parallel) }
      }
    return PlannedStep(
      student: sizes, teachers: try teachers.map { try plannedNetwork($0.configuration, classes: classes) },
      step: ResolvedStep(
        index: index, configuration: step, teachers: taught,
        student: ResolvedStudent(
          reference: own.reference, origin: .checkpoint(own.place), configuration: own.configuration,
          tokenizer: own.tokenizer, parameterCount: sizes.parameterCount),
        outputDirectory: locator.outputDirectory(of: step), maxLength: chain.metadata.maxLength))
  }

  private func teachers(of index: Int) throws -> [PlannedModel] {
    switch chain.steps[index].teacher {
    case .none: []
    case .previous: students.last.map { [$0] } ?? []
    case .named(let entries): try entries.map { try model($0.reference, index, key: "teacher") }
    }
  }

  private func model(_ reference: String, _ index: Int, key: String) throws -> PlannedModel {
    let located = try locator.locate(reference, for: index, in: chain, key: key)
    if case .step(let used) = located.source { return students[used] }
    let found = try ModelDirectory.configuration(of: located.path)
    // A model with another head gets one of the task, if Retort builds it on the family.
    let (kind, heads) = (chain.metadata.task.kind, found.family.definition.heads)
    return PlannedModel(
      reference: reference, place: .directory(located.path),
      configuration: heads.contains(kind.definition.head) ? found.with(kind: kind) : found, tokenizer: located.path)
  }

  private func student(of step: StepConfiguration, _ index: Int, _ teacher: PlannedModel?) throws -> PlannedModel {
    var source = teacher
    if case .model(let reference)? = step.studentInit?.layers?.source {
      source = try model(reference, index, key: "student_init.from")
    }
    let base: PlannedModel
    switch step.studentBase {
    case .reference(let reference): base = try model(reference, index, key: "student_base")
    case .configuration(let json):
      base = PlannedModel(
        reference: step.id, place: .step(index),
        configuration: try configuration(json.object ?? [:], of: step, source?.configuration, teacher?.configuration),
        tokenizer: tokenizerDirectory(json["tokenizer"]?.string) ?? source?.tokenizer ?? teacher?.tokenizer)
    }
    guard let layers = step.studentInit?.layers?.indices, let source else { return base }
    return PlannedModel(
      reference: base.reference, place: base.place,
      configuration: try base.configuration.keeping(layers: layers, of: source.configuration),
      tokenizer: base.tokenizer ?? source.tokenizer)
  }

  /// Sizes written in the chain file; with student_init omitted sizes are those of its source. The vocabulary of a
  /// language model is that of the source or teacher, any other without a tokenizer too.
  private func configuration(
    _ own: [String: JSON], of step: StepConfiguration, _ source: ModelConfiguration?, _ teacher: ModelConfiguration?
  ) throws -> ModelConfiguration {
    var keys = own
    keys["tokenizer"] = nil
    if step.studentInit?.layers != nil, let source {
      keys["family"] = nil
      keys.merge(source.json) { own, _ in own }
    }
    let location = step.source.location(of: "student_base")
    let isLanguage = chain.metadata.task.kind.definition.head == .languageModel
    if isLanguage, keys["vocab_size"] == nil { keys["vocab_size"] = teacher?.vocabularySize.map(JSON.int) }
    if keys["vocab_size"] == nil {
      let size = try tokenizerDirectory(own["tokenizer"]?.string).flatMap {
        try loadTokenizer(fromModelDirectory: $0)?.vocabularySize
      }
      keys["vocab_size"] = size.map(JSON.int) ?? teacher?.json["vocab_size"]
    }
    return try ModelConfiguration(written: keys, at: location, kind: chain.metadata.task.kind)
  }

  private func tokenizerDirectory(_ reference: String?) -> String? {
    reference.flatMap { locator.directCandidates($0).first(where: isDirectory) }
  }
}

extension StepConfiguration {
  /// Whether an objective compares the tokens of both models one by one.
  fileprivate var comparesTokens: Bool {
    stages.contains { stage in
      stage.hyperparameters.objectives.terms.contains { term in
        (term.objective as? any InnerObjective).map { type(of: $0).comparesTokens } ?? false
      }
    }
  }
}
