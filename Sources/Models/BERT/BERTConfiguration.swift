import Autograd
import Platform

/// The sizes of a BERT encoder (Devlin et al., 2019), by the names of Hugging Face's `BertConfig`.
public struct BERTConfiguration: Sendable, Equatable {
  public let vocabularySize: Int
  public let hiddenSize: Int
  public let layerCount: Int
  public let headCount: Int
  public let intermediateSize: Int
  public let maximumPositions: Int
  public let tokenTypes: Int
  public let layerNormEpsilon: Float
  public let activation: Activation
  public let hiddenDropout: Float
  public let attentionDropout: Float
  public let classifierDropout: Float
  public let initializerRange: Float
  public let classCount: Int
  /// `bert_hash`: the size of the narrow embedding that a linear layer widens to the hidden size; nil for plain BERT.
  public let projections: Int?

  /// Reads and checks the keys; defaults are those of `BertConfig`. Throws `.input` naming file and key.
  public init(_ configuration: ModelConfiguration) throws {
    vocabularySize = try configuration.size("vocab_size", default: 30522)
    hiddenSize = try configuration.size("hidden_size", default: 768)
    layerCount = try configuration.size("num_hidden_layers", default: 12)
    headCount = try configuration.size("num_attention_heads", default: 12)
    intermediateSize = try configuration.size("intermediate_size", default: 3072)
    maximumPositions = try configuration.size("max_position_embeddings", default: 512)
    tokenTypes = try configuration.size("type_vocab_size", default: 2)
    layerNormEpsilon = try configuration.number("layer_norm_eps", default: 1e-12, in: 0...1)
    hiddenDropout = try configuration.number("hidden_dropout_prob", default: 0.1, in: 0...0.99)
    attentionDropout = try configuration.number("attention_probs_dropout_prob", default: 0.1, in: 0...0.99)
    classifierDropout = try configuration.number("classifier_dropout", default: Double(hiddenDropout), in: 0...0.99)
    initializerRange = try configuration.number("initializer_range", default: 0.02, in: 0...10)
    projections = configuration.family == .bertHash ? try configuration.size("projections", default: 5) : nil
    classCount = configuration.labels?.names.count ?? 2
    let source = configuration.source
    guard hiddenSize % headCount == 0 else {
      throw RetortError(
        .input, "hidden_size \(hiddenSize) is not a multiple of num_attention_heads \(headCount)", at: source)
    }
    let name = configuration.json["hidden_act"]?.string ?? "gelu"
    guard let activation = Activation(huggingFaceName: name) else {
      throw RetortError(.input, "hidden_act \"\(name)\" is not an activation of Retort", at: source,
        remedy: "it has: \(Activation.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    self.activation = activation
    if let kind = configuration.json["position_embedding_type"]?.string, kind != "absolute" {
      throw RetortError(.input, "position_embedding_type \"\(kind)\" is not built; only absolute is", at: source)
    }
    for flag in ["is_decoder", "add_cross_attention"] where configuration.json[flag]?.bool == true {
      throw RetortError(.input, "\(flag) is set: a BERT decoder is no classifier that Retort builds", at: source)
    }
  }
}
