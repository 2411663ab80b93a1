/// RoBERTa (Liu et al., 2019), and XLM-R (Conneau et al., 2020) and CamemBERT (Martin et al., 2020), which have other
/// vocabularies: positions begin after the padding token's, and the head has a dense layer of its own.
struct RoBERTa: EncoderFamily {
  let name: String
  let architecture: String
  let vocabulary: Int
  let pretrainingPrefixes = ["lm_head."]
  let unusedPrefixes = ["lm_head.", "roberta.pooler.", "pooler."]

  var traits: EncoderTraits {
    var traits = EncoderTraits()
    traits.vocabulary = vocabulary
    traits.countsFromPadding = true
    traits.head = EncoderHead(activation: .tanh, dropsState: true, isPooler: false)
    traits.names = .roberta(prefix: "roberta.")
    return traits
  }
}

extension ModelFamily {
  /// `roberta`.
  package static let roberta = ModelFamily(
    RoBERTa(name: "roberta", architecture: "RobertaForSequenceClassification", vocabulary: 50_265))
  /// `xlm-roberta`.
  package static let xlmRoberta = ModelFamily(
    RoBERTa(name: "xlm-roberta", architecture: "XLMRobertaForSequenceClassification", vocabulary: 30_522))
  /// `camembert`.
  package static let camembert = ModelFamily(
    RoBERTa(name: "camembert", architecture: "CamembertForSequenceClassification", vocabulary: 30_522))
}
