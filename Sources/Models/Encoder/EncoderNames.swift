/// The names of an encoder's tensors in a checkpoint of its family, without `.weight` and `.bias`.
package struct EncoderNames: Sendable, Equatable {
  /// Precedes the names of the body; missing in checkpoints of a bare encoder.
  var prefix = "bert."
  /// The prefix in a checkpoint with a head, of names of a bare encoder.
  private var wrapped = ""
  var words = "embeddings.word_embeddings"
  /// The projection of narrow token embeddings, for a family that has one.
  var wordProjection: String?
  var positions = "embeddings.position_embeddings"
  var types = "embeddings.token_type_embeddings"
  var embeddingNorm = "embeddings.LayerNorm"
  /// The projection of the normalised sum of embeddings, for a family that has one.
  var projection: String?
  /// The bias by distance of all layers, for a family that has one.
  var relativeBias = "encoder.relative_attention_bias"
  /// Precedes the number of a layer.
  var layers = "encoder.layer."
  var (query, key, value) = ("attention.self.query", "attention.self.key", "attention.self.value")
  /// Queries, keys and values in one tensor, for a family that has one.
  var projections: String?
  var attentionOutput = "attention.output.dense"
  var attentionNorm = "attention.output.LayerNorm"
  var inner = "intermediate.dense"
  var output = "output.dense"
  var outputNorm = "output.LayerNorm"
  /// The norm after the last layer, for a family that has one.
  var finalNorm = "final_norm"
  /// The dense layer of the head, with the prefix if it has one.
  var dense = "bert.pooler.dense"
  /// The norm of the head, if it has one.
  var headNorm = "head.norm"
  /// The linear layer of the head that gives the logits.
  var classifier = "classifier"

  /// BERT's names.
  package init() {}

  /// The names of RoBERTa's body and head, which ELECTRA has too, with another prefix.
  static func roberta(prefix: String) -> EncoderNames {
    var names = EncoderNames()
    names.prefix = prefix
    (names.dense, names.classifier) = ("classifier.dense", "classifier.out_proj")
    return names
  }

  /// The names in a checkpoint of a bare encoder.
  var bare: EncoderNames {
    var names = self
    (names.prefix, names.wrapped) = ("", prefix)
    return names
  }

  /// The names under which a checkpoint may have a tensor: that of `transformers` first.
  func spellings(_ name: String) -> [String] {
    if prefix.isEmpty { return [name, wrapped + name] }
    return name.hasPrefix(prefix) ? [name, String(name.dropFirst(prefix.count))] : [name]
  }
}
