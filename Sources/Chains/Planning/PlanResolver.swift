import Datasets
import Models
import Planner
import Platform
import Tokenizers

/// The sizes of a step's models.
struct PlannedModels {
  let student: any NetworkSizes
  let teachers: [any NetworkSizes]
}

/// Resolves the sizes of the models that a chain file refers to, from their config.json alone.
struct PlanResolver {
  private let chain: ChainConfiguration
  private let locator: ModelLocator
  private let classes: Int?
  /// The students of the earlier steps.
  private var students: [ModelConfiguration] = []

  init(chain: ChainConfiguration, locator: ModelLocator) throws {
    self.chain = chain
    self.locator = locator
    classes =
      chain.metadata.task.kind == .languageModeling ? nil : try TaskDescription(chain.metadata.task).labelNames?.count
  }

  /// The models of the next step; call it for each step in order.
  mutating func models(of index: Int) throws -> PlannedModels {
    let step = chain.steps[index]
    let teachers = try teachers(of: index)
    let student = try student(of: step, index, teachers.first)
    students.append(student)
    return PlannedModels(
      student: try plannedNetwork(student, classes: classes),
      teachers: try teachers.map { try plannedNetwork($0, classes: classes) })
  }

  private func teachers(of index: Int) throws -> [ModelConfiguration] {
    switch chain.steps[index].teacher {
    case .none: []
    case .previous: students.last.map { [$0] } ?? []
    case .named(let entries): try entries.map { try model($0.reference, index, key: "teacher") }
    }
  }

  private func model(_ reference: String, _ index: Int, key: String) throws -> ModelConfiguration {
    let located = try locator.locate(reference, for: index, in: chain, key: key)
    if case .step(let used) = located.source { return students[used] }
    return try ModelDirectory.configuration(of: located.path)
  }

  private func student(of step: StepConfiguration, _ index: Int, _ teacher: ModelConfiguration?) throws
    -> ModelConfiguration
  {
    var source = teacher
    if case .model(let reference)? = step.studentInit?.layers?.source {
      source = try model(reference, index, key: "student_init.from")
    }
    let configuration: ModelConfiguration
    switch step.studentBase {
    case .reference(let reference): configuration = try model(reference, index, key: "student_base")
    case .configuration(let json):
      configuration = try self.configuration(json.object ?? [:], of: step, source, teacher)
    }
    guard let layers = step.studentInit?.layers?.indices, let source else { return configuration }
    return configuration.keeping(layers: layers, of: source)
  }

  /// Sizes written in the chain file; with student_init omitted sizes are those of its source. Without a tokenizer the
  /// vocabulary is that of the source or teacher.
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
    if keys["vocab_size"] == nil {
      keys["vocab_size"] = try vocabularySize(own["tokenizer"]?.string).map(JSON.int) ?? teacher?.json["vocab_size"]
    }
    return try ModelConfiguration(written: keys, at: location)
  }

  private func vocabularySize(_ tokenizer: String?) throws -> Int? {
    guard let tokenizer, let directory = locator.directCandidates(tokenizer).first(where: isDirectory) else {
      return nil
    }
    return try loadTokenizer(fromModelDirectory: directory)?.vocabularySize
  }
}
