/// ELECTRA's discriminator (Clark et al., 2020): BERT whose embedding tables may be narrower than its layers, with a
/// head of RoBERTa's names and a GELU.
struct ELECTRA: EncoderFamily {
  let name = "electra"
  let architecture = "ElectraForSequenceClassification"
  let pretrainingPrefixes = ["generator_predictions.", "generator_lm_head.", "discriminator_predictions."]

  var traits: EncoderTraits {
    var traits = EncoderTraits()
    (traits.hidden, traits.heads, traits.intermediate) = (256, 4, 1024)
    traits.barePooler = nil
    traits.head = EncoderHead(activation: .gelu, dropsState: true, isPooler: false)
    traits.names = .roberta(prefix: "electra.")
    traits.names.projection = "embeddings_project"
    traits.embedding = { configuration, hidden in
      let size = try configuration.size("embedding_size", default: 128)
      return size == hidden ? .sum : .projectedSum(size)
    }
    return traits
  }
}

extension ModelFamily {
  /// `electra`.
  package static let electra = ModelFamily(ELECTRA())
}
