import Datasets
import Platform
import Safetensors

/// The head of a checkpoint, after the classes of `transformers`.
package enum CheckpointHead: Equatable {
  case sequenceClassification
  case tokenClassification
  case questionAnswering
  case maskedLanguageModel
  case nextSentencePrediction
  case multipleChoice
  case causalLanguageModel
  /// An encoder or a decoder without a head.
  case none

  /// The name of a checkpoint with such a head in messages.
  var name: String {
    switch self {
    case .sequenceClassification: "a sequence classifier"
    case .tokenClassification: "a token classifier"
    case .questionAnswering: "a question answering model"
    case .maskedLanguageModel: "a masked language model"
    case .nextSentencePrediction: "a next sentence predictor"
    case .multipleChoice: "a multiple choice model"
    case .causalLanguageModel: "a causal language model"
    case .none: "a model without a head"
    }
  }

  /// The head that a class's name ends with; nil for any other class.
  init?(architecture: String) {
    let endings: [(String, CheckpointHead)] = [
      ("ForSequenceClassification", .sequenceClassification), ("ForTokenClassification", .tokenClassification),
      ("ForQuestionAnswering", .questionAnswering), ("ForMaskedLM", .maskedLanguageModel),
      ("ForPreTraining", .maskedLanguageModel), ("ForNextSentencePrediction", .nextSentencePrediction),
      ("ForMultipleChoice", .multipleChoice), ("ForCausalLM", .causalLanguageModel),
      ("LMHeadModel", .causalLanguageModel),
    ]
    if let known = endings.first(where: { architecture.hasSuffix($0.0) }) {
      self = known.1
    } else if architecture.hasSuffix("Model"), !architecture.contains("For") {
      self = .none
    } else {
      return nil
    }
  }
}

extension FamilyDefinition {
  /// Whether the tensor belongs to a head of any kind, which a new head replaces.
  func ownsAsHead(_ name: String) -> Bool {
    let heads = ["cls.", "classifier.", "pre_classifier.", "qa_outputs.", "score.", "lm_head."] + pretrainingPrefixes
    return heads.contains { name.hasPrefix($0) }
  }
}

/// The kind of a checkpoint, derived from `architectures`, `problem_type` and its tensors.
struct CheckpointKind {
  let head: CheckpointHead
  /// The class that config.json names, or nil.
  let architecture: String?
  /// A difference between config.json and the tensors that the tensors decided, as a sentence without a full stop.
  let conflict: String?
  private let family: any FamilyDefinition

  init(_ configuration: ModelConfiguration, _ source: any WeightSource) {
    family = configuration.family.definition
    architecture = configuration.architecture
    let stored = family.head(ofTensorsIn: source)
    guard let architecture, let named = CheckpointHead(architecture: architecture), named != stored else {
      (head, conflict) = (stored, nil)
      return
    }
    let wanted: CheckpointHead = family.isLanguageModel ? .causalLanguageModel : .sequenceClassification
    // A decoder without a head tensor is a language model if its token embeddings are the head; config.json may name it
    // as one.
    if stored == .none || stored == .sequenceClassification && family.isLanguageModel {
      (head, conflict) = (named == wanted && !family.isLanguageModel ? stored : named, nil)
    } else if stored == wanted, ![.tokenClassification, .multipleChoice].contains(named) {
      // These two have a tensor with the same name as a classifier's; the others have none of these tensors.
      head = stored
      conflict =
        "config.json names \(architecture), and the weights are those of \(stored.name): they decide"
    } else {
      (head, conflict) = (named == wanted ? stored : named, nil)
    }
  }

  /// "a token classifier (BertForTokenClassification)".
  private var name: String {
    guard let architecture else { return "\(head.name), by its tensors" }
    return CheckpointHead(architecture: architecture) == head || CheckpointHead(architecture: architecture) == nil
      ? "\(head.name) (\(architecture))" : "\(head.name) by its tensors, and \(architecture) by its config.json"
  }

  /// The head as Retort builds it on this family; nil for one that it does not build.
  ///
  /// A decoder without a head tensor counts as a language model: its token embeddings are the head, or the head is
  /// missing, which another check reports.
  var builtHead: TaskDefinition.Head? {
    if family.heads == [.perceptron] { return .perceptron }
    // A classifier that lacks a layer has the tensors of another head.
    if conflict == nil, let named = architecture.flatMap(CheckpointHead.init(architecture:))?.built, head != .none,
      named != head.built
    {
      return nil
    }
    let built = head == .none && family.isLanguageModel ? .languageModel : head.built
    return built.flatMap { family.heads.contains($0) ? $0 : nil }
  }

  /// The task that the checkpoint serves; nil for a head that Retort does not build.
  ///
  /// - Parameters:
  ///   - outputs: the rows of the head's last layer, if there is one.
  ///   - wanted: the task at hand, which says what outputs mean if config.json does not.
  func task(_ configuration: ModelConfiguration, outputs: Int?, wanted: TaskKind?) -> TaskKind? {
    switch builtHead {
    case nil: return nil
    case .languageModel: return .languageModeling
    case .token: return .tokenClassification
    case .pooler: return .embedding
    case .perceptron: return .features
    case .sequence:
      let own = configuration.problem(outputs: outputs)
      return wanted == .multiLabel && configuration.json["problem_type"]?.string == nil ? .multiLabel : own
    }
  }

  /// Why the checkpoint does not serve a task; nil if it does. As a sentence without a subject.
  ///
  /// - Parameters:
  ///   - wanted: the task at hand; nil for any.
  ///   - outputs: the rows of the head's last layer, if there is one.
  func misfit(_ configuration: ModelConfiguration, _ wanted: TaskKind?, outputs: Int?) -> String? {
    if builtHead == .sequence, let fault = configuration.problemFault(outputs: outputs) { return fault }
    let own = task(configuration, outputs: outputs, wanted: wanted)
    if own != nil, wanted == nil || own == wanted { return nil }
    let needed = wanted ?? (family.isLanguageModel ? .languageModeling : .classification)
    guard let own, own.definition.head == needed.definition.head else {
      return "is \(name); Retort's \(needed.definition.noun) needs \(CheckpointHead.ending(of: needed.definition.head))"
    }
    let named = configuration.json["problem_type"]?.string
    let reason = named.map { "problem_type: \($0)" } ?? "its head has \(outputs == 1 ? "one output" : "classes")"
    let what =
      switch own {
      case .multiLabel: "a multi-label classifier"
      case .regression: "a regression model"
      default: "a single-label classifier"
      }
    let wish =
      switch needed {
      case .classification where own == .multiLabel: "has one label for each example"
      case .classification: "has classes"
      case .multiLabel: "has any number of labels for each example"
      default: "has a number for each example"
      }
    return "is \(what) (\(reason)), and Retort's \(needed.definition.noun) \(wish)"
  }
}

extension CheckpointHead {
  /// The head as tasks call it; nil for one that serves no task of Retort.
  var built: TaskDefinition.Head? {
    switch self {
    case .sequenceClassification: .sequence
    case .tokenClassification: .token
    case .causalLanguageModel: .languageModel
    case .none: .pooler
    default: nil
    }
  }

  /// The ending of the class that has a head.
  static func ending(of head: TaskDefinition.Head) -> String {
    switch head {
    case .sequence: "…ForSequenceClassification"
    case .token: "…ForTokenClassification"
    case .pooler: "an encoder without a head (…Model)"
    case .languageModel: "…ForCausalLM"
    case .perceptron: "a perceptron"
    }
  }
}
