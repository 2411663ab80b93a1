import Autograd
import Datasets
import Safetensors

/// What distinguishes one family of encoders from another; the defaults are BERT's.
package struct EncoderTraits: Sendable {
  /// The keys of config.json whose names differ between families.
  struct Keys: Sendable {
    var hidden = "hidden_size"
    var layers = "num_hidden_layers"
    var heads = "num_attention_heads"
    var intermediate = "intermediate_size"
    var activation = "hidden_act"
    /// Nil for a family whose `dropout` reads keys of its own.
    var dropout: String? = "hidden_dropout_prob"
    var attentionDropout = "attention_probs_dropout_prob"
    var classifierDropout = "classifier_dropout"

    /// The keys of all families in the same order.
    var all: [String?] {
      [hidden, layers, heads, intermediate, activation, dropout, attentionDropout, classifierDropout]
    }
  }

  var keys = Keys()
  /// The values of missing keys.
  var vocabulary = 30_522, hidden = 768, layers = 12, heads = 12, intermediate = 3072, tokenTypes = 2, positions = 512
  /// The dropout before the classifier if its key is missing; nil: that of the layers.
  var classifierDropout: Double?
  /// Whether a head on tokens has that dropout too; otherwise that of the layers.
  var tokensReadClassifierDropout = true
  /// Whether the embeddings tell the texts of an example apart.
  var hasTypes = true
  /// The key of what is added to a norm's variance, nil without one, and its value if the key is missing.
  var epsilonKey: String? = "layer_norm_eps", epsilon = 1e-12
  /// Whether the embeddings have a table of positions.
  var hasPositions = true
  /// Whether positions begin after `pad_token_id`.
  var countsFromPadding = false
  /// The token after which positions begin, whatever `pad_token_id` is; nil for a family without such a token.
  var countsFromToken: Int?
  var head = EncoderHead(activation: .tanh, dropsState: false, isPooler: true)
  var names = EncoderNames()
  /// The dense layer that the family's model without a head has behind its first token, which no vector reads; nil for
  /// a family without one.
  var barePooler: String? = "pooler.dense"
  /// What the keys of a configuration change in the head.
  var adaptHead: @Sendable (ModelConfiguration, inout EncoderHead) throws -> Void = { _, _ in }
  /// What the layers are made of, given their number.
  var body: @Sendable (ModelConfiguration, Int) throws -> EncoderBody = { _, _ in EncoderBody() }
  /// The probabilities of dropout in training, by these traits' keys; nil: those of BERT.
  var dropout: (@Sendable (ModelConfiguration, EncoderTraits) throws -> EncoderDropout)?
  /// How the embeddings of a token become its first state, given the hidden size.
  var embedding: @Sendable (ModelConfiguration, Int) throws -> EncoderEmbedding = { _, _ in .sum }
}

/// A family whose body is `EncoderClassifier`'s.
package protocol EncoderFamily: FamilyDefinition {
  /// What distinguishes the family.
  var traits: EncoderTraits { get }
}

extension EncoderFamily {
  package var isLanguageModel: Bool { false }
  package var heads: Set<TaskDefinition.Head> { [.sequence, .token, .pooler] }

  /// BERT's keys, which a family with names of its own reads too.
  package var keyAliases: [String: String] {
    let pairs = zip(EncoderTraits.Keys().all, traits.keys.all).compactMap { general, own -> (String, String)? in
      guard let general, let own, general != own else { return nil }
      return (general, own)
    }
    return Dictionary(uniqueKeysWithValues: pairs)
  }

  package var layerMarker: String { traits.names.layers }
  package var anchors: [String] { traits.names.spellings("\(traits.names.prefix)\(traits.names.words).weight") }

  /// Both layers of the classifier; a token classifier has one layer called `classifier`.
  package func head(ofTensorsIn source: any WeightSource) -> CheckpointHead {
    let (names, heads) = (traits.names, ["cls.predictions."] + pretrainingPrefixes)
    let hasClassifier = source.contains("\(names.classifier).weight")
    if hasClassifier, names.spellings("\(names.dense).weight").contains(where: source.contains) {
      return .sequenceClassification
    }
    if source.contains("classifier.weight") { return .tokenClassification }
    if source.contains("qa_outputs.weight") { return .questionAnswering }
    if source.names.contains(where: { name in heads.contains { name.hasPrefix($0) } }) {
      return .maskedLanguageModel
    }
    return source.contains("cls.seq_relationship.weight") ? .nextSentencePrediction : .none
  }

  package func sizes(_ configuration: ModelConfiguration) throws -> any ModelSizes {
    try EncoderConfiguration(configuration, traits)
  }
}
