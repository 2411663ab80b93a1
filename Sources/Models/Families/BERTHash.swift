/// BERT with narrow token embeddings, which a linear layer projects to the hidden size (`bert_hash`).
struct BERTHash: EncoderFamily {
  let name = "bert_hash"
  let architecture = "BertHashForSequenceClassification"

  var traits: EncoderTraits {
    var traits = EncoderTraits()
    traits.names.words = "embeddings.word_embeddings.embeddings"
    traits.names.wordProjection = "embeddings.word_embeddings.projections"
    traits.embedding = { configuration, _ in .projectedWords(try configuration.size("projections", default: 5)) }
    return traits
  }
}

extension ModelFamily {
  /// `bert_hash`.
  package static let bertHash = ModelFamily(BERTHash())
}
