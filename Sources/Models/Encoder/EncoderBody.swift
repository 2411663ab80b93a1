import Platform

/// What the layers of an encoder are made of; the defaults are BERT's.
package struct EncoderBody: Sendable, Equatable {
  /// Where the norms are.
  package enum Norms: Sendable {
    /// x = norm(x + f(x)) for attention and feed-forward layer.
    case after
    /// x = x + f(norm(x)), and one norm after the last layer. The first layer's attention reads the embeddings' norm.
    case before
  }

  /// Attention of one layer.
  package struct Attention: Sendable, Hashable {
    /// The distance to the farthest token that a token attends to; nil for all tokens.
    package var reach: Int?
    /// The rotary angles of queries and keys; nil for none.
    package var rotary: RotaryScaling?
  }

  /// Where the norms are.
  package var norms = Norms.after
  /// Whether the feed-forward layer is gated: D (f(G x) ∘ U x) instead of D f(G x).
  package var isGated = false
  /// Whether the products of attention, those of the feed-forward layer, and the norms have biases.
  package var hasAttentionBias = true, hasFeedForwardBias = true, hasNormBias = true
  /// The buckets of a bias by distance that all layers add to attention scores; nil for none.
  package var biasBuckets: Int?
  /// Attention layer by layer; empty: of all tokens, without rotary positions.
  package var layers: [Attention] = []

  /// Attention of a layer, counted from 0.
  package func attention(_ layer: Int) -> Attention { layers.indices.contains(layer) ? layers[layer] : Attention() }

  /// Whether the states between layers are a float32 stream in every precision.
  package var isStream: Bool { norms == .before }
}

/// The probabilities of dropout in training, each 0 to 0.99.
package struct EncoderDropout: Sendable, Equatable {
  /// Of the embeddings' output.
  package var embedding: Float
  /// Of attention probabilities, and of attention's output.
  package var attention: Float, attentionOutput: Float
  /// Of the inner units of the feed-forward layer, and of its output; nil where a family drops nothing.
  package var inner: Float?, output: Float?
  /// Before the classifier.
  package var classifier: Float
}

extension EncoderDropout {
  /// BERT's: one probability after the embeddings, attention and feed-forward layer, which is the classifier's too if
  /// that key is null or missing and the family has no other. Throws `.input` naming file and key.
  init(_ configuration: ModelConfiguration, _ family: EncoderTraits) throws {
    let hidden = try family.keys.dropout.map { try configuration.number($0, default: 0.1, in: 0...0.99) } ?? 0
    (embedding, attentionOutput, output) = (hidden, hidden, hidden)
    attention = try configuration.number(family.keys.attentionDropout, default: 0.1, in: 0...0.99)
    classifier = try configuration.number(
      family.keys.classifierDropout, default: family.classifierDropout ?? Double(hidden), in: 0...0.99)
  }
}
