import Autograd
import Platform

/// The sizes and the traits of a decoder: what its config.json and its family say, and all that the body needs to know.
package struct DecoderConfiguration: Sendable, Equatable {
  /// `vocab_size`: number of tokens.
  package let vocabularySize: Int
  /// Elements of a token's state.
  package let hiddenSize: Int
  /// Query heads.
  package let headCount: Int
  /// A divisor of `headCount`; equally many query heads share each key/value head.
  package let keyValueHeadCount: Int
  /// Elements of a head; even in a model with rotary positions.
  package let headSize: Int
  /// Inner units of the feed-forward layer.
  package let intermediateSize: Int
  /// The context, the maximum sequence length in tokens.
  package let maximumPositions: Int
  /// The attention of each layer.
  package private(set) var layers: [DecoderLayerKind]
  /// The norms of the residual stream.
  package let norm: DecoderNormKind
  /// Added to the mean square or the variance in every norm, 0 to 1.
  package let normEpsilon: Float
  /// The activation of the feed-forward layer, or of its gate.
  package let activation: Activation
  /// Whether the feed-forward layer is gated.
  package let isGated: Bool
  /// Whether attention normalises each head of its queries and keys.
  package let normalizesHeads: Bool
  /// Whether the outputs of attention and of the feed-forward layer are normalised before they are added.
  package let hasPostNorms: Bool
  /// Whether learned embeddings of positions are added to those of tokens.
  package let hasLearnedPositions: Bool
  /// The factor of the token embeddings.
  package let embeddingScale: Float
  /// Whether the query, key and value projections have biases.
  package let hasProjectionBias: Bool
  /// Whether the output projection of attention has a bias.
  package let hasOutputBias: Bool
  /// Whether the feed-forward layer has biases.
  package let hasFeedForwardBias: Bool
  /// `tie_word_embeddings`: whether the head is the token embeddings.
  package let isTied: Bool
  /// The probabilities with which training drops elements.
  package let dropout: DecoderDropout
  /// `initializer_range`: standard deviation of initial weights.
  package let initializerRange: Float
  /// Whether the initial weights of the products that are added to the residual stream are smaller by √(2·layers).
  package let scalesInitialOutputs: Bool
  /// The number of classes of a head on sequences; nil for a head over the vocabulary.
  package private(set) var classes: Int?
  /// The token that a head on sequences does not read at their ends; nil: it reads the last token.
  package let paddingToken: Int?
  /// The names of the tensors in a checkpoint.
  package let names: DecoderNames

  /// Reads and checks the keys; `family` says what they do not, with the values of missing keys, which are those of its
  /// class in `transformers`. Throws `.input` naming file and key.
  package init(_ configuration: ModelConfiguration, _ family: DecoderTraits) throws {
    let keys = family.keys
    vocabularySize = try configuration.size("vocab_size", default: family.vocabulary)
    hiddenSize = try configuration.size(keys.hidden, default: family.hidden)
    let count = try configuration.size(keys.layers, default: family.layers, most: ModelConfiguration.mostLayers)
    headCount = try configuration.size(keys.heads, default: family.heads)
    keyValueHeadCount = try family.keyValueHeads(configuration, heads: headCount)
    intermediateSize = try configuration.size(keys.intermediate, default: family.intermediate ?? 4 * hiddenSize)
    maximumPositions = try configuration.size(keys.positions, default: family.positions)
    normEpsilon = try configuration.number(keys.epsilon, default: family.epsilon, in: 0...1)
    initializerRange = try configuration.number("initializer_range", default: 0.02, in: 0...10)
    activation = try configuration.activation(keys.activation, default: family.activation)
    isTied = try configuration.flag("tie_word_embeddings", default: family.isTied)
    let bias = try family.biases.contains(.attentionKey) && configuration.flag("attention_bias", default: false)
    hasProjectionBias = bias || family.biases.contains(.projections)
    hasOutputBias = bias || family.biases.contains(.output)
    hasFeedForwardBias =
      try family.biases.contains(.feedForward)
      || family.biases.contains(.feedForwardKey) && configuration.flag("mlp_bias", default: false)
    dropout = try DecoderDropout(configuration, family.dropoutKeys)
    headSize = try family.headSize(configuration, hidden: hiddenSize, heads: headCount)
    (norm, isGated, normalizesHeads) = (family.norm, family.isGated, family.normalizesHeads)
    (hasPostNorms, hasLearnedPositions) = (family.hasPostNorms, family.hasLearnedPositions)
    embeddingScale = family.scalesEmbeddings ? Float(hiddenSize).squareRoot() : 1
    scalesInitialOutputs = family.scalesInitialOutputs
    names = family.names
    classes = configuration.isLanguageModel ? nil : configuration.labels?.names.count ?? 2
    paddingToken = configuration.json["pad_token_id"]?.int
    layers = try family.layerKinds(
      configuration, DecoderTraits.Sizes(layers: count, headSize: headSize, context: maximumPositions))
    try checkSizes(configuration.source, keys)
    try configuration.requireBuildable(weights: [
      [2, vocabularySize, hiddenSize], [count, 2, headCount + keyValueHeadCount, headSize, hiddenSize],
      [count, 3, intermediateSize, hiddenSize], [hasLearnedPositions ? maximumPositions : 0, hiddenSize],
      [classes ?? 0, hiddenSize],
    ])
    try configuration.refuseUnbuilt(family)
  }

  private func checkSizes(_ source: String, _ keys: DecoderTraits.Keys) throws {
    if headCount % keyValueHeadCount != 0 {
      throw RetortError(
        .input, "\(keys.heads) \(headCount) is not a multiple of num_key_value_heads \(keyValueHeadCount)", at: source)
    }
    if headSize % 2 != 0, layers.contains(where: { $0.rotary != nil }) {
      throw RetortError(.input, "the size of a head is \(headSize): rotary positions want an even one", at: source)
    }
  }

  /// The number of layers.
  package var layerCount: Int { layers.count }
  /// The number of outputs: classes, or tokens.
  package var outputCount: Int { classes ?? vocabularySize }
  /// The same model with another number of classes, if it has classes.
  package func with(classes: Int) -> DecoderConfiguration {
    var copy = self
    if copy.classes != nil { copy.classes = classes }
    return copy
  }
  /// The same model with only the first of its layers, which all have equal weights.
  package var withOneLayer: DecoderConfiguration {
    var copy = self
    copy.layers = [layers[0]]
    return copy
  }
  /// The sizes that objectives compare.
  package var shape: ModelShape {
    ModelShape(
      layers: layerCount, hidden: hiddenSize, heads: headCount, keyValueHeads: keyValueHeadCount, headSize: headSize,
      isCausal: true, hasPooler: false,
      reaches: layers.contains { $0.window != nil } ? layers.map { $0.window.map { $0 - 1 } } : [],
      scales: layers.contains { $0.scale != nil } ? layers.map(\.scale) : [])
  }
  /// Elements of a token's queries: H·D.
  package var queryWidth: Int { headCount * headSize }
  /// Elements of a token's keys, and of its values: K·D.
  package var keyWidth: Int { keyValueHeadCount * headSize }
}

/// The attention of one layer of a decoder.
package struct DecoderLayerKind: Sendable, Equatable {
  /// The growth of rotary angles; nil: the layer does not rotate its queries and keys.
  package var rotary: RotaryScaling?
  /// The number of tokens that a token attends to, itself included; nil: all earlier ones.
  package var window: Int?
  /// The factor of the products of queries and keys; nil: 1/√D.
  package var scale: Float?

  /// A layer that attends to all earlier tokens.
  package init(rotary: RotaryScaling? = nil, window: Int? = nil, scale: Float? = nil) {
    self.rotary = rotary
    self.window = window
    self.scale = scale
  }
}

/// The probabilities with which a decoder drops elements in training, 0 to 0.99.
package struct DecoderDropout: Sendable, Equatable {
  /// On the attention probabilities.
  package let attention: Float
  /// On the outputs of attention and of the feed-forward layer; nil: none, whatever the chain file says.
  package let residual: Float?
  /// On the states that enter the first layer; nil: none, whatever the chain file says.
  package let embedding: Float?

  init(_ configuration: ModelConfiguration, _ keys: DecoderTraits.DropoutKeys) throws {
    func probability(_ key: String) throws -> Float {
      try configuration.number(key, default: keys.fallback, in: 0...0.99)
    }
    attention = try probability(keys.attention)
    residual = try keys.residual.map(probability)
    embedding = try keys.embedding.map(probability)
  }
}

/// The norms of a residual stream.
package enum DecoderNormKind: Sendable, Equatable {
  /// Root mean square norms with the scale γ.
  case rms
  /// Root mean square norms with the scale 1 + γ.
  case shiftedRMS
  /// Layer norms with scale and shift.
  case layer
}

extension DecoderConfiguration: ModelSizes {
  package var depth: Int? { layerCount }
  /// All text is one.
  package var textTypes: Int? { 1 }
  package var contextLength: Int? { maximumPositions }
  package var vocabulary: Int? { vocabularySize }
  package var text: String { "L\(layerCount) H\(hiddenSize) V\(vocabularySize)" }
  package var classifierName: String? { classes == nil ? nil : "score.weight" }

  package var probes: [(names: [String], shape: [Int])] {
    func probe(_ name: String, _ outputs: Int, _ inputs: Int) -> ([String], [Int]) {
      (names.spellings("\(names.prefix)\(name).weight"), names.isTransposed ? [inputs, outputs] : [outputs, inputs])
    }
    let first = "\(names.layers)0."
    var probes = [(names.spellings("\(names.prefix)\(names.words).weight"), [vocabularySize, hiddenSize])]
    if let fused = names.projection {
      probes.append(probe(first + fused, queryWidth + 2 * keyWidth, hiddenSize))
    } else {
      probes.append(probe(first + names.query, queryWidth, hiddenSize))
      probes.append(probe(first + names.key, keyWidth, hiddenSize))
    }
    return probes + [probe(first + (isGated ? names.gate : names.up), intermediateSize, hiddenSize)]
  }

  /// A language model, or a classifier of sequences.
  package func build(part: ModelPart, source: String) throws -> any Model {
    let body = try DecoderModel(self, part: part)
    return classes == nil ? body : DecoderClassifier(body)
  }
}
