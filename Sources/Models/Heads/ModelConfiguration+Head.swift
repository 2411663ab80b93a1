import Datasets
import Platform

extension FamilyDefinition {
  /// A classifier of sequences, or for a decoder a language model.
  package var usualHead: TaskDefinition.Head { isLanguageModel ? .languageModel : .sequence }

  /// The stem of `architecture` with the ending for the head.
  package func architecture(with head: TaskDefinition.Head) -> String {
    if head == usualHead { return architecture }
    let endings = ["ForSequenceClassification", "ForCausalLM", "LMHeadModel"]
    let ending = endings.first(where: architecture.hasSuffix) ?? ""
    let stem = architecture.dropLast(ending.count)
    return switch head {
    case .sequence: stem + "ForSequenceClassification"
    case .token: stem + "ForTokenClassification"
    case .pooler: stem + "Model"
    case .languageModel: stem + "ForCausalLM"
    case .perceptron: architecture
    }
  }
}

extension ModelConfiguration {
  /// The task that a model of this configuration serves: its head as `architectures` says, and the meaning of a
  /// sequence head's outputs as `problem_type` says.
  ///
  /// Without `problem_type`, as in `transformers`, one output is a number and several are classes.
  package var kind: TaskKind {
    switch head {
    case .languageModel: .languageModeling
    case .token: .tokenClassification
    case .pooler: .embedding
    case .perceptron: .features
    case .sequence: problem(outputs: labels?.names.count)
    }
  }

  /// The meaning of a sequence head's outputs.
  func problem(outputs: Int?) -> TaskKind {
    switch json["problem_type"]?.string {
    case "multi_label_classification": .multiLabel
    case "regression": .regression
    case "single_label_classification": .classification
    default: outputs == 1 ? .regression : .classification
    }
  }

  /// Why the outputs of a sequence head have no meaning that Retort knows, as a sentence without a subject; nil if they
  /// have one.
  ///
  /// - Parameter outputs: the rows of the head's last layer, if there is one.
  func problemFault(outputs: Int?) -> String? {
    guard let named = json["problem_type"], !named.isNull else { return nil }
    switch named.string {
    case "multi_label_classification": return nil
    case "regression":
      guard let outputs, outputs > 1 else { return nil }
      return "is a regression model with \(outputs) outputs (problem_type: regression), and Retort's regression has one"
    case "single_label_classification":
      guard outputs == 1 else { return nil }
      return "has one output (num_labels 1), and problem_type: single_label_classification says that outputs are "
        + "classes: its probability would always be 1"
    default:
      return "has problem_type \(named.text()), which is none of regression, single_label_classification and "
        + "multi_label_classification"
    }
  }

  /// The first class of `architectures`, or nil.
  var architecture: String? {
    let listed = json["architectures"]
    return listed?.string ?? listed?.array?.lazy.compactMap(\.string).first
  }

  /// The head that `architectures` names if Retort builds it on this family, otherwise the family's usual one.
  package var head: TaskDefinition.Head {
    let (usual, named) = (family.definition.usualHead, architecture.flatMap(CheckpointHead.init(architecture:)))
    guard let built = named?.built, family.definition.heads.contains(built) else { return usual }
    return built
  }

  /// Whether the model's head is over its vocabulary.
  package var isLanguageModel: Bool { head == .languageModel }

  /// The same configuration with another head.
  func with(head: TaskDefinition.Head) -> ModelConfiguration {
    setting(["architectures": [.string(family.definition.architecture(with: head))]])
  }

  /// The same configuration for a model that serves this task.
  package func with(kind: TaskKind) -> ModelConfiguration {
    let problem = kind.definition.problemType
    var keys: [String: JSON] = [
      "architectures": [.string(family.definition.architecture(with: kind.definition.head))]
    ]
    if let problem { keys["problem_type"] = .string(problem) }
    return setting(keys, removing: problem == nil ? ["problem_type"] : [])
  }
}
