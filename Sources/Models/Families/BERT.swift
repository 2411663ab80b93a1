/// BERT (Devlin et al., 2019).
struct BERT: EncoderFamily {
  let name = "bert"
  let architecture = "BertForSequenceClassification"
  let traits = EncoderTraits()
}

extension ModelFamily {
  /// `bert`.
  package static let bert = ModelFamily(BERT())
}
