import Datasets
import Models
import Objectives
import Platform
import Tokenizers

/// Resolves the models that a chain file refers to, step by step, without loading weights.
///
/// The teacher of a step may be a student that does not exist yet: its configuration and tokenizer are known from the
/// step that trains it.
struct StepResolver {
  let chain: ChainConfiguration
  let locator: ModelLocator
  /// The names of the task's outputs; nil for language modelling.
  let labels: LabelNames?
  /// The kind of the data.
  let kind: TaskKind

  /// All steps in order; throws the first error.
  func resolve() throws -> [ResolvedStep] {
    var steps: [ResolvedStep] = []
    for index in chain.steps.indices { steps.append(try step(index, after: steps)) }
    return steps
  }

  private func step(_ index: Int, after earlier: [ResolvedStep]) throws -> ResolvedStep {
    let configuration = chain.steps[index]
    let teachers = try teachers(of: index, earlier)
    let student = try student(of: index, teachers.first?.model, earlier)
    let limits = (teachers.map(\.model.configuration) + [student.configuration]).compactMap(\.maximumPositions)
    if kind.definition.head == .languageModel {
      try StepResolver.checkLength(
        chain.metadata,
        [("student \(student.reference)", student.configuration.maximumPositions)]
          + teachers.map { ("teacher \($0.model.reference)", $0.model.configuration.maximumPositions) })
    }
    return ResolvedStep(
      index: index, configuration: configuration, teachers: teachers, student: student,
      outputDirectory: locator.outputDirectory(of: configuration),
      maxLength: ([chain.metadata.maxLength].compactMap { $0 } + limits).min())
  }

  /// Refuses a `max_length` in the chain file that exceeds the context of a model, since shorter rows would change the
  /// meaning of `batch_size`; the default is adapted instead.
  ///
  /// - Parameter models: names with their contexts, the student first.
  static func checkLength(_ metadata: Metadata, _ models: [(name: String, context: Int?)]) throws {
    guard metadata.namesMaxLength, let wanted = metadata.maxLength,
      let limit = models.compactMap(\.context).min(), limit < wanted,
      let shortest = models.first(where: { $0.context == limit })
    else { return }
    throw RetortError(
      .configuration, "is \(wanted), longer than the context of the \(shortest.name), which has \(limit) positions",
      at: metadata.source.location(of: "max_length"),
      remedy: "set it to \(limit) or less; null uses the models' positions")
  }

  private func teachers(of index: Int, _ earlier: [ResolvedStep]) throws -> [ResolvedTeacher] {
    switch chain.steps[index].teacher {
    case .none: return []
    case .previous:
      if index == 0 { return [] }
      return [ResolvedTeacher(previous: student(earlier[index - 1]), chain.parallel)]
    case .named(let entries):
      return try entries.map { entry in
        let located = try locator.locate(entry.reference, for: index, in: chain)
        return ResolvedTeacher(
          entry, try model(entry.reference, located, earlier, for: .answers), chain.parallel)
      }
    }
  }

  /// The student of an earlier step, as a model.
  private func student(_ step: ResolvedStep) -> ResolvedModel {
    ResolvedModel(
      reference: step.id, place: .step(step.index), configuration: step.student.configuration,
      tokenizer: step.student.tokenizer)
  }

  private func model(
    _ reference: String, _ located: Located, _ earlier: [ResolvedStep], for use: ModelUse
  ) throws -> ResolvedModel {
    if case .step(let used) = located.source { return student(earlier[used]) }
    let opened = try ModelDirectory(located.path, for: use, task: kind, labels: labels)
    let report = try opened.check()
    var remarks = opened.warnings(report)
    let tokenizer = try TokenizerFiles.load(fromModelDirectory: located.path)
    remarks += tokenizer?.tokenizer.remarks ?? []
    if let reason = opened.newHead { remarks.append("\(reference) gets a new head: \(reason)") }
    return ResolvedModel(
      reference: reference, place: .directory(located.path), configuration: opened.configuration,
      tokenizer: tokenizer, remarks: remarks)
  }

  private func student(of index: Int, _ teacher: ResolvedModel?, _ earlier: [ResolvedStep]) throws -> ResolvedStudent {
    let step = chain.steps[index]
    let head = step.studentInit?.head ?? .fitting
    // The model that layers are taken from; nil if none are.
    let source = try layerSource(of: index, teacher, earlier)
    var base: (reference: String, configuration: ModelConfiguration, tokenizer: TokenizerFiles?, place: ModelPlace?)
    var remarks: [String] = []
    switch step.studentBase {
    case .reference(let reference):
      let located = try locator.locate(reference, for: index, in: chain, key: "student_base")
      let use: ModelUse = .student(head: source == nil ? head : .fitting)
      let found = try model(reference, located, earlier, for: use)
      base = (reference, found.configuration, found.tokenizer, found.place)
      if source == nil { remarks = found.remarks }
    case .configuration(let json):
      let made = try configuration(json, of: step, source ?? teacher, teacher)
      base = ("\(made.0.family.rawValue) (random)", made.0, made.1, nil)
    }
    guard let source, let layers = step.studentInit?.layers?.indices else {
      let origin = base.place.map(StudentOrigin.checkpoint) ?? .random
      var student = try finish(base.reference, origin, base.configuration, base.tokenizer, like: teacher)
      (student.head, student.remarks) = (head, remarks)
      return student
    }
    let configuration = try base.configuration.keeping(layers: layers, of: source.configuration)
    try check(layers, configuration, source, head, step)
    var student = try finish(
      "\(source.reference) layers \(layers.map(String.init).joined(separator: ","))",
      .layers(layers, source.place), configuration, base.tokenizer ?? source.tokenizer, like: teacher)
    student.head = head
    student.remarks = source.place == teacher?.place && head == .fitting ? [] : source.remarks
    student.remarks += try StepResolver.headRemark(source, configuration)
    return student
  }

  /// A remark about a language model's head if student and source differ in whether it is tied to the embeddings.
  private static func headRemark(_ source: ResolvedModel, _ student: ModelConfiguration) throws -> [String] {
    if try source.configuration.givesTableAsHead(to: student) {
      return ["the student's head starts as the embedding table of \(source.reference), which has no other head"]
    }
    if try student.givesTableAsHead(to: source.configuration) {
      return [
        "the head of \(source.reference) is not copied: tie_word_embeddings is true in the student, whose head is its "
          + "embedding table"
      ]
    }
    return []
  }

  /// The model that a step's student takes layers from; nil if it takes none.
  private func layerSource(of index: Int, _ teacher: ResolvedModel?, _ earlier: [ResolvedStep]) throws
    -> ResolvedModel?
  {
    let step = chain.steps[index]
    guard let initialization = step.studentInit, let layers = initialization.layers else { return nil }
    switch layers.source {
    case .model(let reference):
      let located = try locator.locate(reference, for: index, in: chain, key: "student_init.from")
      return try model(reference, located, earlier, for: .student(head: initialization.head))
    case .teacher:
      guard let teacher else {
        throw RetortError(
          .configuration, "student_init takes layers from the teacher, but this step has none",
          at: step.source.location(of: "student_init"),
          remedy: "name the model: student_init: {from: PATH, layers: …}, or name a teacher")
      }
      return teacher
    }
  }

  private func finish(
    _ reference: String, _ origin: StudentOrigin, _ configuration: ModelConfiguration, _ tokenizer: TokenizerFiles?,
    like teacher: ResolvedModel?
  ) throws -> ResolvedStudent {
    let configuration =
      kind.definition.head == .languageModel
      ? configuration.withTextBorders(of: tokenizer, like: teacher?.configuration)
      : configuration.with(chain.metadata.task)
    let model = try ModelLoader.build(configuration)
    return ResolvedStudent(
      reference: reference, origin: origin, configuration: configuration, tokenizer: tokenizer,
      parameterCount: model.parameterCount)
  }

  /// A configuration written in the chain file; with student_init, omitted sizes are those of the model that layers are
  /// taken from.
  private func configuration(
    _ json: JSON, of step: StepConfiguration, _ source: ResolvedModel?, _ teacher: ResolvedModel?
  ) throws -> (ModelConfiguration, TokenizerFiles?) {
    let location = step.source.location(of: "student_base")
    var keys = json.object ?? [:]
    var tokenizer: TokenizerFiles?
    if let reference = keys["tokenizer"]?.string {
      let candidates = locator.directCandidates(reference)
      guard let directory = candidates.first(where: isDirectory),
        let found = try TokenizerFiles.load(fromModelDirectory: directory)
      else {
        throw RetortError(
          .input, "no tokenizer \"\(reference)\"; searched: \(candidates.joined(separator: "; "))", at: location,
          remedy: "name a directory with tokenizer.json, a SentencePiece model or vocab.txt")
      }
      tokenizer = found
    }
    keys["tokenizer"] = nil
    if step.studentInit?.layers != nil, let source {
      keys["family"] = nil
      keys.merge(source.configuration.json) { own, _ in own }
    }
    tokenizer = tokenizer ?? source?.tokenizer ?? teacher?.tokenizer
    // Language models are compared logit by logit, and a teacher's embeddings may have more rows than the tokenizer has
    // ids.
    let theirs = kind.definition.head == .languageModel ? teacher?.configuration.vocabularySize : nil
    let size = theirs ?? tokenizer?.tokenizer.vocabularySize
    if keys["vocab_size"] == nil, let size { keys["vocab_size"] = .int(size) }
    return (try ModelConfiguration(written: keys, at: location, kind: kind, labels: labels), tokenizer)
  }

  /// Checks that the layers exist in the source model, and that all sizes except their number are equal.
  private func check(
    _ layers: [Int], _ configuration: ModelConfiguration, _ source: ResolvedModel, _ head: StudentHead,
    _ step: StepConfiguration
  ) throws {
    let location = step.source.location(of: "student_init")
    let whose = step.studentInit?.layers?.source == .teacher ? "the teacher" : "the model"
    let count = try source.configuration.layerCount ?? 0
    if let outside = layers.first(where: { $0 < 0 || $0 >= count }) {
      throw RetortError(
        .configuration,
        "layer \(outside) is not in \(whose) \(source.reference), which has layers 0 to \(count - 1)", at: location)
    }
    func refuse(_ name: String, _ own: String, _ theirs: String) -> RetortError {
      RetortError(
        .configuration, "\(name) has shape \(own) in the student and \(theirs) in \(whose) \(source.reference)",
        at: location, remedy: "omit the sizes, so that they are those of \(source.reference)")
    }
    // Check sizes first, since building a model uses memory.
    if let differing = try configuration.sizeDifference(from: source.configuration) {
      throw refuse(differing.name, "\(differing.own)", "\(differing.theirs)")
    }
    let own = try ModelLoader.build(configuration).weightTable
    let theirs = try ModelLoader.build(source.configuration).weightTable
    let shapes = Dictionary(theirs.map { ($0.name, $0.shape) }) { first, _ in first }
    let isTableTheHead = try source.configuration.givesTableAsHead(to: configuration)
    for binding in own where head == .fitting || !binding.isHead {
      if binding.isHead, isTableTheHead { continue }
      guard let shape = shapes[binding.name] else {
        throw RetortError(.configuration, "\(whose) has no tensor \(binding.name) to copy", at: location)
      }
      if shape != binding.shape { throw refuse(binding.name, "\(binding.shape)", "\(shape)") }
    }
  }
}

extension ModelConfiguration {
  /// A student's configuration with the pooling of its task.
  fileprivate func with(_ task: TaskConfiguration) -> ModelConfiguration {
    guard head == .pooler else { return self }
    var pooling = pooling ?? Pooling()
    pooling.mode = task.pooling ?? pooling.mode
    pooling.normalizes = task.normalizes ?? pooling.normalizes
    return with(pooling: pooling)
  }

  /// The configuration for some layers of another model: their number, and what config.json lists for each of them.
  /// Throws `.input` for lists that do not fit.
  func keeping(layers: [Int], of source: ModelConfiguration) throws -> ModelConfiguration {
    let kept = setting(["num_hidden_layers": .int(layers.count)])
    guard family == source.family else { return kept }
    let lists = try source.family.definition.layerLists(source).filter { layers.allSatisfy($0.value.indices.contains) }
    return kept.setting(lists.mapValues { list in .array(layers.map { list[$0] }) })
  }
}
