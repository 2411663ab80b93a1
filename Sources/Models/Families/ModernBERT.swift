import Platform

/// ModernBERT (Warner et al., 2024): rotary positions, windows in most layers, norms before gated feed-forward layers,
/// no biases.
struct ModernBERT: EncoderFamily {
  let name = "modernbert"
  let architecture = "ModernBertForSequenceClassification"
  let pretrainingPrefixes = ["decoder."]

  var traits: EncoderTraits {
    var traits = EncoderTraits()
    traits.keys.activation = "hidden_activation"
    traits.keys.dropout = nil
    traits.keys.attentionDropout = "attention_dropout"
    (traits.vocabulary, traits.layers, traits.intermediate, traits.positions) = (50_368, 22, 1152, 8192)
    (traits.epsilonKey, traits.epsilon) = ("norm_eps", 1e-5)
    (traits.hasTypes, traits.hasPositions) = (false, false)
    traits.barePooler = nil
    traits.head = EncoderHead(
      activation: .gelu, dropsState: false, isPooler: false, hasNorm: true, hasDenseOnTokens: true)
    traits.adaptHead = { configuration, head in
      head.activation = try configuration.activation("classifier_activation", default: .gelu)
      head.hasBias = try configuration.flag("classifier_bias", default: false)
      head.pooling = try configuration.choice("classifier_pooling", ["cls": .first, "mean": .mean], default: .first)
    }
    traits.body = { configuration, layers in
      EncoderBody(
        norms: .before, isGated: true, hasAttentionBias: try configuration.flag("attention_bias", default: false),
        hasFeedForwardBias: try configuration.flag("mlp_bias", default: false),
        hasNormBias: try configuration.flag("norm_bias", default: false),
        layers: try configuration.alternatingAttention(layers))
    }
    traits.dropout = { configuration, _ in
      func probability(_ key: String) throws -> Float { try configuration.number(key, default: 0, in: 0...0.99) }
      let attention = try probability("attention_dropout")
      return EncoderDropout(
        embedding: try probability("embedding_dropout"), attention: attention, attentionOutput: attention,
        inner: try probability("mlp_dropout"), classifier: try probability("classifier_dropout"))
    }
    traits.names.prefix = "model."
    traits.names.words = "embeddings.tok_embeddings"
    traits.names.embeddingNorm = "embeddings.norm"
    traits.names.layers = "layers."
    (traits.names.projections, traits.names.attentionOutput) = ("attn.Wqkv", "attn.Wo")
    (traits.names.inner, traits.names.output) = ("mlp.Wi", "mlp.Wo")
    (traits.names.attentionNorm, traits.names.outputNorm) = ("attn_norm", "mlp_norm")
    traits.names.dense = "head.dense"
    return traits
  }

  /// `layer_types`, also where config.json has a rule instead of a list.
  func layerLists(_ configuration: ModelConfiguration) throws -> [String: [JSON]] {
    let layers = try configuration.size("num_hidden_layers", default: traits.layers)
    return ["layer_types": try configuration.alternatingTypes(layers)]
  }
}

extension ModelFamily {
  /// `modernbert`.
  package static let modernbert = ModelFamily(ModernBERT())
}

extension ModelConfiguration {
  /// The attention of each layer: `layer_types`, or full attention in one of `global_attn_every_n_layers` layers and a
  /// window of `local_attention` tokens in the others, each kind with rotary positions of its own base.
  fileprivate func alternatingAttention(_ layers: Int) throws -> [EncoderBody.Attention] {
    let window = EncoderBody.Attention(
      reach: try size("local_attention", default: 128) / 2,
      rotary: try RotaryScaling(
        self, of: "sliding_attention", thetaKey: "local_rope_theta", base: 10_000, isScaled: true))
    let full = EncoderBody.Attention(
      rotary: try RotaryScaling(
        self, of: "full_attention", thetaKey: "global_rope_theta", base: 160_000, isScaled: true))
    let kinds = try alternatingTypes(layers)
    return kinds.map { $0 == "sliding_attention" ? window : full }
  }

  fileprivate func alternatingTypes(_ layers: Int) throws -> [JSON] {
    let every = try size("global_attn_every_n_layers", default: 3)
    return try layerTypes(layers, default: (0..<layers).map { $0 % every != 0 })
  }
}
