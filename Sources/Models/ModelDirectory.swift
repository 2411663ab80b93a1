import Platform
import Safetensors

/// What a model directory is opened for.
public enum ModelUse: Sendable, Equatable {
  /// For its answers, as a teacher or to be measured: it must have its whole head, and the one that Retort's models of
  /// the family have.
  case answers
  /// For its outputs as they are: besides classes also labels that do not exclude each other, and numbers.
  case outputs
  /// As the first weights of a student: it may get a new head.
  case student(head: StudentHead)
  /// To be described: nothing is refused for its head.
  case description
}

/// What becomes of the head of a student's first weights.
public enum StudentHead: Sendable, Equatable {
  /// It is kept where it has the classes of the task, and made anew otherwise.
  case fitting
  /// It is made anew.
  case new
}

/// A model directory, as config.json and weights together decide it; no weight is read.
///
///     config.json ─ architectures, problem_type ─┐
///                                                ├─ what head it has ─ refused, kept or made anew, by use
///     weights ───── canonical names, shapes ─────┘   tied or not; classes; sizes against shapes
public struct ModelDirectory {
  /// The path of the directory.
  public let path: String
  /// config.json, with what the weights decide: classes, and whether the head is the table.
  public let configuration: ModelConfiguration
  /// The tensors by the names that `transformers` gives them, without those of a head that is made anew.
  public let weights: any WeightSource
  /// Why the head is made anew, a sentence without a full stop; nil where it is the checkpoint's.
  public let newHead: String?
  /// What is not as it should be, or was decided between two that differ: a sentence each, without a full stop.
  public let remarks: [String]
  /// What its head is where Retort's models of the family have another one, a sentence without a subject; nil where
  /// it is the same.
  public let misfit: String?

  /// Opens a model directory in Hugging Face layout.
  ///
  /// - Parameters:
  ///   - labels: the classes of the task; nil where any will do.
  /// Throws `.input` for what cannot be read, whose sizes differ from the weights' or whose head is not for this use.
  public init(_ path: String, for use: ModelUse, labels: LabelNames? = nil) throws {
    self.path = path
    let raw = try openWeights(inModelDirectory: path)
    var configuration = try ModelConfiguration(directory: path)
    var source = CanonicalWeights(raw, configuration.family)
    let kind = CheckpointKind(configuration, source)
    var remarks = source.remarks + (kind.conflict.map { ["\(path): \($0)"] } ?? [])
    let rows = try ModelDirectory.classes(configuration, source)

    var newHead = try ModelDirectory.newHead(kind, configuration, rows, labels, for: use, path)
    if newHead != nil, configuration.family.isLanguageModel, try LlamaConfiguration(configuration).isTied {
      // The table is the head, whatever else the file has.
      newHead = nil
      if use == .student(head: .new) {
        throw RetortError(
          .configuration, "the head of this model is its embedding table, which is not made anew", at: path,
          remedy: "leave out student_init: {head: new}")
      }
    }
    if newHead == nil, case .student = use, try ModelDirectory.lacksHead(configuration, source) {
      newHead = "the checkpoint has none"
    } else if newHead == nil, use == .answers || use == .outputs {
      try ModelDirectory.requireHead(configuration, source, path)
    }
    if newHead == nil {
      let tie = try configuration.resolvingTie(source)
      if tie.differs {
        remarks.append(
          "\(path): tie_word_embeddings is true, and the weights have a head of their own (lm_head.weight): it is used")
      }
      (configuration, _) = tie
      if !tie.differs, configuration.family.isLanguageModel, try LlamaConfiguration(configuration).isTied {
        // A copy of the table.
        source = CanonicalWeights(raw, configuration.family) { $0 == "lm_head.weight" }
      }
      let named = try ModelDirectory.resolveLabels(configuration, rows, wanted: labels, kind)
      configuration = named.configuration
      remarks += named.remark.map { ["\(path): \($0)"] } ?? []
    } else {
      source = CanonicalWeights(raw, configuration.family, without: CheckpointHead.owns)
      if let labels { configuration = configuration.with(labels: labels) }
    }
    try configuration.requireSizes(of: source)
    self.configuration = configuration
    self.newHead = newHead
    misfit = kind.misfit(configuration, classes: rows)
    self.remarks = remarks
    weights = source
  }

  /// The weights as a student of another configuration takes them over: a head of its own begins as the table of a
  /// model whose head is the table. Throws `.configuration` for impossible values.
  public func weights(for student: ModelConfiguration) throws -> any WeightSource {
    guard let source = weights as? CanonicalWeights, try configuration.givesTableAsHead(to: student) else {
      return weights
    }
    return source.naming("lm_head.weight", as: ["model.embed_tokens.weight", "embed_tokens.weight"])
  }

  /// Names and shapes held against the configuration: what is initialised and what ignored. Throws `.input`.
  public func check() throws -> LoadReport { try ModelLoader.check(configuration, from: .checkpoint(weights)) }

  /// What a person must know of the weights: the remarks, tensors that have no place in the model, and those that a
  /// model which is to answer lacks.
  public func warnings(_ report: LoadReport) -> [String] {
    var warnings = remarks + [report.warning].compactMap { $0 }
    // A head that is made anew has its remark where that is decided.
    if newHead == nil, !report.initialized.isEmpty {
      warnings.append(
        "\(path): \(report.initialized.joined(separator: ", ")) is not in the checkpoint, and takes its initial value")
    }
    return warnings
  }

  /// The configuration of a directory that may have no weights: without them as config.json has it.
  public static func configuration(of path: String) throws -> ModelConfiguration {
    let configuration = try ModelConfiguration(directory: path)
    guard configuration.family.isLanguageModel, let weights = try? openWeights(inModelDirectory: path) else {
      return configuration
    }
    return try configuration.resolvingTie(CanonicalWeights(weights, configuration.family)).configuration
  }

  /// The files of a directory that a model made from it keeps beside its weights: how it generates text. Those of the
  /// tokenizer come with the tokenizer.
  public static func companions(of path: String) -> [String] {
    let file = joinPath(path, "generation_config.json")
    return fileExists(file) && !isDirectory(file) ? [file] : []
  }

  // MARK: the head

  /// Rows of the classifier; nil where there is none.
  private static func classes(_ configuration: ModelConfiguration, _ source: any WeightSource) throws -> Int? {
    guard let name = try ModelLoader.headName(configuration), source.contains(name) else { return nil }
    return try source.describe(name).shape.first
  }

  /// Why a student's head is made anew; nil where the checkpoint's serves. Throws where the use allows no new one.
  private static func newHead(
    _ kind: CheckpointKind, _ configuration: ModelConfiguration, _ rows: Int?, _ labels: LabelNames?, for use: ModelUse,
    _ path: String
  ) throws -> String? {
    let misfit = kind.misfit(configuration, classes: rows)
    switch use {
    case .description: return nil
    case .answers, .outputs:
      guard let misfit, use == .answers || kind.head != .sequenceClassification || configuration.family.isLanguageModel
      else { return nil }
      throw RetortError(
        .input, misfit, at: path,
        remedy: configuration.family.isLanguageModel
          ? "name a checkpoint of a causal language model"
          : "name a checkpoint that was fine-tuned for single-label classification, or fine-tune this one: as "
            + "student_base it gets a new head")
    case .student(.new):
      if configuration.family == .perceptron {
        throw RetortError(
          .configuration, "a perceptron's last layer is no head that could be new", at: path,
          remedy: "leave out student_init: {head: new}")
      }
      return "student_init asks for it"
    case .student(.fitting):
      if kind.head == .sequenceClassification, ClassifierProblem(configuration, classes: rows) == .multiLabel {
        throw RetortError(
          .input, "\(misfit ?? "")", at: path,
          remedy: "student_init: {head: new} trains a single-label student on its layers")
      }
      if let misfit { return "\(path) \(misfit)" }
      guard let rows, let wanted = labels?.names.count, rows != wanted, configuration.family != .perceptron else {
        return nil
      }
      return "the checkpoint's has \(rows) classes, the task has \(wanted)"
    }
  }

  private static func lacksHead(_ configuration: ModelConfiguration, _ source: any WeightSource) throws -> Bool {
    if configuration.family.isLanguageModel {
      return try !LlamaConfiguration(configuration).isTied && !source.contains("lm_head.weight")
    }
    return configuration.family != .perceptron
      && !(source.contains("classifier.weight") && CheckpointHead.hasPooler(source))
  }

  /// Throws where the weights lack a head that would be random.
  private static func requireHead(_ configuration: ModelConfiguration, _ source: any WeightSource, _ path: String)
    throws
  {
    guard configuration.family.isLanguageModel, try lacksHead(configuration, source) else { return }
    throw RetortError(
      .input, "tie_word_embeddings is false, and the weights have no head (lm_head.weight)", at: path,
      remedy: "set tie_word_embeddings to true if the table is the head, or take the whole checkpoint")
  }

  /// The configuration with as many classes as the head has, under the names that count: the checkpoint's own, or the
  /// wanted ones where it has none.
  private static func resolveLabels(
    _ configuration: ModelConfiguration, _ rows: Int?, wanted: LabelNames?, _ kind: CheckpointKind
  ) throws -> (configuration: ModelConfiguration, remark: String?) {
    guard !configuration.family.isLanguageModel else { return (configuration, nil) }
    guard let rows else { return (wanted.map(configuration.with(labels:)) ?? configuration, nil) }
    let named = LabelNames(configuration: .object(configuration.json))
    let own = LabelNames(configuration: .object(configuration.json), count: max(1, rows))
    var remark: String?
    if let named, named.names.count != rows {
      remark =
        "config.json names \(named.names.count) classes, and the classifier has \(rows): they are called "
        + own.names.prefix(8).joined(separator: ", ") + (rows > 8 ? ", …" : "")
    }
    if let wanted, wanted.names.count == rows, own.isGeneric { return (configuration.with(labels: wanted), remark) }
    return (configuration.with(labels: own), remark)
  }
}
