import Autograd
import Platform

/// The sizes of a BERT encoder (Devlin et al., 2019), by the names of Hugging Face's `BertConfig`.
package struct BERTConfiguration: Sendable, Equatable {
  /// `vocab_size`: rows of the token embeddings.
  package let vocabularySize: Int
  /// `hidden_size`: elements of a token's state, a multiple of `headCount`.
  package let hiddenSize: Int
  /// `num_hidden_layers`.
  package let layerCount: Int
  /// `num_attention_heads`.
  package let headCount: Int
  /// `intermediate_size`: width of the feed-forward layer.
  package let intermediateSize: Int
  /// `max_position_embeddings`: the maximum sequence length in tokens.
  package let maximumPositions: Int
  /// `type_vocab_size`: number of token types.
  package let tokenTypes: Int
  /// `layer_norm_eps`: added to the variance in every norm, 0 to 1.
  package let layerNormEpsilon: Float
  /// `hidden_act`: activation of the feed-forward layer.
  package let activation: Activation
  /// `hidden_dropout_prob`: after the embeddings, the attention and the feed-forward layer; 0 to 0.99.
  package let hiddenDropout: Float
  /// `attention_probs_dropout_prob`: on the attention probabilities, 0 to 0.99.
  package let attentionDropout: Float
  /// `classifier_dropout`: before the classifier, 0 to 0.99; `hiddenDropout` if the key is null or missing.
  package let classifierDropout: Float
  /// `initializer_range`: standard deviation of initial weights.
  package let initializerRange: Float
  /// Number of classes, from `id2label` or `num_labels`; 2 without either.
  package let classCount: Int
  /// `bert_hash`: the size of the token embeddings, which a linear layer projects to the hidden size; nil for plain
  /// BERT.
  package let projections: Int?

  /// Reads and checks the keys; defaults are those of `BertConfig`. Throws `.input` naming file and key.
  package init(_ configuration: ModelConfiguration) throws {
    vocabularySize = try configuration.size("vocab_size", default: 30522)
    hiddenSize = try configuration.size("hidden_size", default: 768)
    layerCount = try configuration.size("num_hidden_layers", default: 12, most: ModelConfiguration.mostLayers)
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
    if configuration.json["id2label"]?.object?.isEmpty ?? true {
      _ = try configuration.size("num_labels", default: 2, most: LabelNames.most)
    }
    classCount = configuration.labels?.names.count ?? 2
    let source = configuration.source
    guard hiddenSize % headCount == 0 else {
      throw RetortError(
        .input, "hidden_size \(hiddenSize) is not a multiple of num_attention_heads \(headCount)", at: source)
    }
    try configuration.requireBuildable(weights: [
      [vocabularySize, hiddenSize], [maximumPositions + tokenTypes, hiddenSize], [classCount, hiddenSize],
      [vocabularySize, projections ?? 1], [layerCount, 2, 2 * hiddenSize + intermediateSize, hiddenSize],
    ])
    activation = try configuration.activation(default: .gelu)
    if let kind = configuration.json["position_embedding_type"]?.string, kind != "absolute" {
      throw RetortError(.input, "position_embedding_type \"\(kind)\" is not built; only absolute is", at: source)
    }
    for flag in ["is_decoder", "add_cross_attention"] where configuration.json[flag]?.bool == true {
      throw RetortError(.input, "\(flag) is set: a BERT decoder is no classifier that Retort builds", at: source)
    }
  }
}
