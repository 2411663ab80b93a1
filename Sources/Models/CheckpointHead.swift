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

  init(_ configuration: ModelConfiguration, _ source: any WeightSource) {
    let listed = configuration.json["architectures"]
    architecture = listed?.string ?? listed?.array?.lazy.compactMap(\.string).first
    let stored = configuration.family.definition.head(ofTensorsIn: source)
    guard let architecture, let named = CheckpointHead(architecture: architecture), named != stored else {
      (head, conflict) = (stored, nil)
      return
    }
    let wanted: CheckpointHead =
      configuration.family.isLanguageModel ? .causalLanguageModel : .sequenceClassification
    // A decoder without a head tensor is a language model if its token embeddings are the head; config.json may name it
    // as one.
    if stored == .none || stored == .sequenceClassification && configuration.family.isLanguageModel {
      (head, conflict) = (named == wanted && !configuration.family.isLanguageModel ? stored : named, nil)
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

  /// Why the head differs from that of Retort's models of the family; nil if it does not.
  ///
  /// - Parameter classes: the rows of the classifier, if there is one.
  func misfit(_ configuration: ModelConfiguration, classes: Int?) -> String? {
    if configuration.family.isLanguageModel {
      // Without a head tensor the token embeddings are the head, or the head is missing, which another check reports.
      if head == .causalLanguageModel || head == .none { return nil }
      return "is \(name); Retort's language modelling needs …ForCausalLM"
    }
    if configuration.family != .perceptron, head != .sequenceClassification {
      return "is \(name); Retort's classification needs …ForSequenceClassification"
    }
    switch ClassifierProblem(configuration, classes: classes) {
    case .singleLabel: return nil
    case .multiLabel:
      return "is a multi-label classifier (problem_type: multi_label_classification), and Retort's classification has "
        + "one label for each example"
    case .regression:
      let why =
        configuration.json["problem_type"]?.string == nil ? "its head has one output" : "problem_type: regression"
      return "is a regression model (\(why)), and Retort's classification has classes"
    }
  }
}

/// The meaning of the outputs of a classifier's head.
package enum ClassifierProblem: Sendable, Equatable {
  /// Logits of mutually exclusive classes: softmax.
  case singleLabel
  /// Logits of independent labels: a sigmoid each.
  case multiLabel
  /// Numbers.
  case regression

  /// `problem_type`; without it, as in `transformers`, one output is a number and several are classes.
  init(_ configuration: ModelConfiguration, classes: Int?) {
    switch configuration.json["problem_type"]?.string {
    case "multi_label_classification": self = .multiLabel
    case "regression": self = .regression
    case "single_label_classification": self = .singleLabel
    default: self = classes == 1 ? .regression : .singleLabel
    }
  }
}
