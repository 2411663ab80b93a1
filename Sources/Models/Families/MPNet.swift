import Platform

/// MPNet (Song et al., 2020): RoBERTa without token types, whose layers share a bias of attention by distance.
struct MPNet: EncoderFamily {
  let name = "mpnet"
  let architecture = "MPNetForSequenceClassification"
  let pretrainingPrefixes = ["lm_head."]
  let unusedPrefixes = ["lm_head.", "mpnet.pooler.", "pooler."]

  var traits: EncoderTraits {
    var traits = EncoderTraits()
    traits.vocabulary = 30_527
    traits.hasTypes = false
    // The padding token of its vocabulary; transformers does not read pad_token_id here.
    traits.countsFromToken = 1
    // Its head reads no key of its own.
    traits.dropout = { configuration, traits in
      var dropout = try EncoderDropout(configuration, traits)
      dropout.classifier = dropout.embedding
      return dropout
    }
    traits.body = { configuration, _ in
      let buckets = try configuration.size("relative_attention_num_buckets", default: 32)
      guard buckets == 32 else {
        throw RetortError(
          .input, "relative_attention_num_buckets is \(buckets): only 32 is built", at: configuration.source)
      }
      return EncoderBody(biasBuckets: buckets)
    }
    traits.head = EncoderHead(activation: .tanh, dropsState: true, isPooler: false)
    traits.names = .roberta(prefix: "mpnet.")
    (traits.names.query, traits.names.key, traits.names.value) = (
      "attention.attn.q", "attention.attn.k", "attention.attn.v"
    )
    traits.names.attentionOutput = "attention.attn.o"
    traits.names.attentionNorm = "attention.LayerNorm"
    return traits
  }
}

extension ModelFamily {
  /// `mpnet`.
  package static let mpnet = ModelFamily(MPNet())
}
