import Datasets
import Platform
import Safetensors

/// The use for which a model directory is opened.
package enum ModelUse: Sendable, Equatable {
  /// Its answers, as a teacher or for an evaluation: it must have the complete head of its task.
  case answers
  /// The initial weights of a student: it may get a new head.
  case student(head: StudentHead)
  /// A description: no head is refused.
  case description
}

/// The head of a student's initial weights.
package enum StudentHead: Sendable, Equatable {
  /// It is kept if it has the classes of the task, and initialised otherwise.
  case fitting
  /// It is initialised.
  case new
}

/// A model directory, resolved from config.json and the headers of its weights; no weight is read.
///
///     config.json ─ architectures, problem_type ─┐
///                                                ├─ which task ─ refused, kept or initialised, by use
///     weights ───── canonical names, shapes ─────┘   tied or not; classes; sizes compared with shapes
package struct ModelDirectory {
  /// The path of the directory.
  package let path: String
  /// config.json, with the classes and the tied or untied head of the weights.
  package let configuration: ModelConfiguration
  /// The tensors under their `transformers` names, without those of a head that is replaced.
  package let weights: any WeightSource
  /// Why the head is initialised, as a sentence without a full stop; nil if it is the checkpoint's.
  package let newHead: String?
  /// Irregularities and resolved contradictions, one sentence each, without a full stop.
  package let remarks: [String]
  /// Why it does not serve the task at hand, or any, as a sentence without a subject; nil if it does.
  package let misfit: String?

  /// Opens a model directory in Hugging Face layout.
  ///
  /// - Parameters:
  ///   - task: the task at hand; nil for any.
  ///   - labels: the classes of the task; nil for any classes.
  /// Throws `.input` for unreadable files, for sizes that differ from the weights, and for a head that the use does not
  /// allow.
  package init(_ path: String, for use: ModelUse, task: TaskKind? = nil, labels: LabelNames? = nil) throws {
    self.path = path
    let raw = try openWeights(inModelDirectory: path)
    var configuration = try ModelConfiguration(directory: path)
    var source = CanonicalWeights(raw, configuration.family)
    let kind = CheckpointKind(configuration, source)
    var remarks = source.remarks + (kind.conflict.map { ["\(path): \($0)"] } ?? [])
    if let head = kind.builtHead { configuration = configuration.with(head: head) }
    let rows = try ModelDirectory.classes(configuration, source)
    let own = kind.task(configuration, outputs: rows, wanted: task)
    let misfit = kind.misfit(configuration, task, outputs: rows)

    var newHead = try ModelDirectory.newHead(misfit, configuration, rows, labels, for: use, path)
    if newHead != nil, configuration.isLanguageModel, try configuration.sizes.isTied {
      // The token embeddings are the head, whatever other tensors the file has.
      newHead = nil
      if use == .student(head: .new) {
        throw RetortError(
          .configuration, "the head of this model is its embedding table, which cannot be replaced", at: path,
          remedy: "leave out student_init: {head: new}")
      }
    }
    if newHead == nil, case .student = use, try ModelDirectory.lacksHead(configuration, source, kind) {
      newHead = "the checkpoint has none"
    } else if newHead == nil, use == .answers {
      try ModelDirectory.requireHead(configuration, source, kind, path)
    }
    if let serving = newHead == nil ? own : task ?? own { configuration = configuration.with(kind: serving) }
    if newHead == nil {
      let tie = try configuration.resolvingTie(source)
      if tie.differs {
        remarks.append(
          "\(path): tie_word_embeddings is true, but the weights have a head of their own (lm_head.weight): it is used")
      }
      (configuration, _) = tie
      if !tie.differs, configuration.isLanguageModel, try configuration.sizes.isTied {
        // It is a copy of the token embeddings.
        source = CanonicalWeights(raw, configuration.family) { $0 == "lm_head.weight" }
      }
      let named = try ModelDirectory.resolveLabels(configuration, rows, wanted: labels, for: use)
      configuration = named.configuration
      remarks += named.remarks.map { "\(path): \($0)" }
    } else {
      source = CanonicalWeights(raw, configuration.family, without: configuration.family.definition.ownsAsHead)
      if let labels { configuration = configuration.with(labels: labels) }
    }
    if configuration.head == .pooler {
      if let files = try SentenceTransformer.pooling(in: path) {
        configuration = configuration.with(pooling: files)
      } else if try Pooling(configuration) == nil {
        configuration = configuration.with(pooling: Pooling())
        remarks.append(
          "\(path): it has no modules.json that says how states become a vector: it is their mean, normalised")
      }
    }
    try configuration.requireSizes(of: source)
    self.configuration = configuration
    self.newHead = newHead
    self.misfit = misfit
    self.remarks = remarks
    weights = source
  }

  /// The initial weights of a student with another configuration: an untied head starts as the token embeddings of a
  /// model with a tied head. Throws `.configuration` for impossible values.
  package func weights(for student: ModelConfiguration) throws -> any WeightSource {
    guard let source = weights as? CanonicalWeights, try configuration.givesTableAsHead(to: student) else {
      return weights
    }
    return source.naming("lm_head.weight", as: configuration.family.definition.anchors)
  }

  /// Compares names and shapes with the configuration and reports the initialised and ignored tensors. Throws `.input`.
  package func check() throws -> LoadReport { try ModelLoader.check(configuration, from: .checkpoint(weights)) }

  /// Warnings for the user: the remarks, ignored tensors, and missing tensors that are initialised.
  package func warnings(_ report: LoadReport) -> [String] {
    var warnings = remarks + [report.warning].compactMap { $0 }
    // A new head is reported by the caller that asks for it.
    if newHead == nil, !report.initialized.isEmpty {
      warnings.append(
        "\(path): \(report.initialized.joined(separator: ", ")) is not in the checkpoint and gets its initial value")
    }
    return warnings
  }

  /// The configuration of a directory that may have no weights; without them it is that of config.json.
  package static func configuration(of path: String) throws -> ModelConfiguration {
    let configuration = try ModelConfiguration(directory: path)
    guard configuration.isLanguageModel, let weights = try? openWeights(inModelDirectory: path) else {
      return configuration
    }
    return try configuration.resolvingTie(CanonicalWeights(weights, configuration.family)).configuration
  }

  /// The files of a directory that a student made from it keeps: generation_config.json. The tokenizer's files come
  /// with the tokenizer.
  package static func companions(of path: String) -> [String] {
    let file = joinPath(path, "generation_config.json")
    return fileExists(file) && !isDirectory(file) ? [file] : []
  }

  // MARK: the head

  /// The rows of the classifier; nil if there is none.
  private static func classes(_ configuration: ModelConfiguration, _ source: any WeightSource) throws -> Int? {
    guard let name = try ModelLoader.headName(configuration), source.contains(name) else { return nil }
    return try source.describe(name).shape.first
  }

  /// Why a student's head is initialised; nil if the checkpoint's is used. Throws if the use allows no new head.
  private static func newHead(
    _ misfit: String?, _ configuration: ModelConfiguration, _ rows: Int?, _ labels: LabelNames?, for use: ModelUse,
    _ path: String
  ) throws -> String? {
    switch use {
    case .description: return nil
    case .answers:
      guard let misfit else { return nil }
      if misfit == configuration.problemFault(outputs: rows) {
        throw RetortError(
          .input, misfit, at: configuration.source,
          remedy: "correct problem_type if the weights mean something else, or name another checkpoint; as "
            + "student_base this one gets a new head")
      }
      throw RetortError(
        .input, misfit, at: path,
        remedy: configuration.isLanguageModel
          ? "name a checkpoint of a causal language model"
          : "name a checkpoint that was fine-tuned for this task, or fine-tune this one: as student_base it gets a new "
            + "head")
    case .student(.new):
      if configuration.family == .perceptron {
        throw RetortError(
          .configuration, "a perceptron's last layer is not a head that could be replaced", at: path,
          remedy: "leave out student_init: {head: new}")
      }
      return "student_init requests it"
    case .student(.fitting):
      if let misfit { return "\(path) \(misfit)" }
      guard let rows, let wanted = labels?.names.count, rows != wanted, configuration.family != .perceptron else {
        return nil
      }
      return "the checkpoint's has \(rows) classes, but the task has \(wanted)"
    }
  }

  private static func lacksHead(_ configuration: ModelConfiguration, _ source: any WeightSource, _ kind: CheckpointKind)
    throws -> Bool
  {
    if configuration.isLanguageModel { return try !configuration.sizes.isTied && !source.contains("lm_head.weight") }
    return configuration.family != .perceptron && configuration.head != .pooler && kind.head == .none
  }

  /// Throws if the weights lack a head, which would be random.
  private static func requireHead(
    _ configuration: ModelConfiguration, _ source: any WeightSource, _ kind: CheckpointKind, _ path: String
  ) throws {
    if let name = try ModelLoader.headName(configuration), !source.contains(name), configuration.family != .perceptron {
      throw RetortError(
        .input, "the weights have no head (\(name))", at: path,
        remedy: "name a checkpoint that was fine-tuned for this task, or fine-tune this one")
    }
    guard configuration.isLanguageModel, try lacksHead(configuration, source, kind) else { return }
    throw RetortError(
      .input, "tie_word_embeddings is false, but the weights have no head (lm_head.weight)", at: path,
      remedy: "set tie_word_embeddings to true if the token embeddings are the head, or use the complete checkpoint")
  }

  /// The configuration with as many classes as the head has, with the checkpoint's names, or the wanted ones if it has
  /// none.
  ///
  /// Throws `.input` for a tagger with two tags of one name if its answers are wanted, since they form entities.
  private static func resolveLabels(
    _ configuration: ModelConfiguration, _ rows: Int?, wanted: LabelNames?, for use: ModelUse
  ) throws -> (configuration: ModelConfiguration, remarks: [String]) {
    guard !configuration.isLanguageModel else { return (configuration, []) }
    guard let rows else { return (wanted.map(configuration.with(labels:)) ?? configuration, []) }
    let named = LabelNames(configuration: .object(configuration.json))
    let own = LabelNames(configuration: .object(configuration.json), count: max(1, rows))
    let called = "they are called " + own.names.prefix(8).joined(separator: ", ") + (rows > 8 ? ", …" : "")
    var remarks: [String] = []
    if let fault = LabelNames.fault(inTable: configuration.json["id2label"]) {
      remarks.append("config.json does not name the classes in order: \(fault); \(called)")
    } else if let named, named.names.count != rows {
      remarks.append("config.json names \(named.names.count) classes, but the classifier has \(rows): \(called)")
    }
    if let name = own.repeated {
      if use == .answers, configuration.head == .token {
        throw RetortError(
          .input, "two tags of id2label are called \(quoted(name)), so entities cannot be told apart",
          at: configuration.source, remedy: "give every tag a name of its own; case does not count")
      }
      remarks.append("two classes of id2label in config.json are called \(quoted(name)); case does not count")
    }
    if let wanted, wanted.names.count == rows, own.isGeneric { return (configuration.with(labels: wanted), remarks) }
    return (configuration.with(labels: own), remarks)
  }
}
