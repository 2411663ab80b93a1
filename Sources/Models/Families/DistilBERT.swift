import Platform

/// DistilBERT (Sanh et al., 2019): BERT without token types and pooler, with a ReLU in the head and names of its own.
struct DistilBERT: EncoderFamily {
  let name = "distilbert"
  let architecture = "DistilBertForSequenceClassification"
  let pretrainingPrefixes = ["vocab_transform.", "vocab_layer_norm.", "vocab_projector."]

  var traits: EncoderTraits {
    var traits = EncoderTraits()
    traits.keys = EncoderTraits.Keys(
      hidden: "dim", layers: "n_layers", heads: "n_heads", intermediate: "hidden_dim", activation: "activation",
      dropout: "dropout", attentionDropout: "attention_dropout", classifierDropout: "seq_classif_dropout")
    traits.layers = 6
    (traits.classifierDropout, traits.tokensReadClassifierDropout) = (0.2, false)
    (traits.hasTypes, traits.epsilonKey) = (false, nil)
    traits.barePooler = nil
    traits.head = EncoderHead(activation: .relu, dropsState: false, isPooler: false)
    traits.names.prefix = "distilbert."
    traits.names.layers = "transformer.layer."
    (traits.names.query, traits.names.key, traits.names.value) = (
      "attention.q_lin", "attention.k_lin", "attention.v_lin"
    )
    traits.names.attentionOutput = "attention.out_lin"
    traits.names.attentionNorm = "sa_layer_norm"
    (traits.names.inner, traits.names.output) = ("ffn.lin1", "ffn.lin2")
    traits.names.outputNorm = "output_layer_norm"
    traits.names.dense = "pre_classifier"
    traits.embedding = { configuration, _ in
      guard configuration.json["sinusoidal_pos_embds"]?.bool == true else { return .sum }
      throw RetortError(
        .input, "sinusoidal_pos_embds is set: positions that are not trained are not built", at: configuration.source)
    }
    return traits
  }
}

extension ModelFamily {
  /// `distilbert`.
  package static let distilbert = ModelFamily(DistilBERT())
}
