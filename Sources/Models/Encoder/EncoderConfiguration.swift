import Autograd
import Datasets
import Layers
import Platform

/// The sizes of an encoder of BERT's kind (Devlin et al., 2019), by the names of Hugging Face's `BertConfig`.
package struct EncoderConfiguration: Sendable, Equatable {
  /// `vocab_size`: rows of the token embeddings.
  package let vocabularySize: Int
  /// `hidden_size`: elements of a token's state, a multiple of `headCount`.
  package let hiddenSize: Int
  /// `num_hidden_layers`.
  package let layerCount: Int
  /// `num_attention_heads`.
  package let headCount: Int
  /// `intermediate_size`: width of the feed-forward layer.
  package let intermediateSize: Int
  /// Rows of the position table, `max_position_embeddings`; 0 for a family without one.
  package let positionRows: Int
  /// The maximum sequence length in tokens.
  package let maximumPositions: Int
  /// The token after which positions count: the first token of a sequence has the row behind it. Nil: they begin at 0.
  package let paddingToken: Int?
  /// `type_vocab_size`: number of token types; 0 for a family without them.
  package let tokenTypes: Int
  /// Added to the variance in every norm, 0 to 1.
  package let layerNormEpsilon: Float
  /// `hidden_act`: activation of the feed-forward layer.
  package let activation: Activation
  /// What the layers are made of.
  package let body: EncoderBody
  /// The probabilities of dropout in training.
  package let dropout: EncoderDropout
  /// `initializer_range`: standard deviation of initial weights.
  package let initializerRange: Float
  /// Number of classes, from `id2label` or `num_labels`; 2 without either.
  package private(set) var classCount: Int
  /// How the embeddings of a token become its first state.
  package let embedding: EncoderEmbedding
  /// How the head makes its outputs.
  package let head: EncoderHead
  /// The rows of the head: sequences, or tokens that count.
  package let rows: TaskDefinition.Rows
  /// How states become vectors, for a model whose outputs these are; nil for one with a classifier.
  package let pooling: Pooling?
  /// The dense layer that a model without a head has and no vector reads; nil for none.
  let barePooler: String?
  /// The names of the tensors in a checkpoint.
  package let names: EncoderNames

  /// Reads and checks the keys; `family` says what they do not. Throws `.input` naming file and key.
  package init(_ configuration: ModelConfiguration, _ family: EncoderTraits) throws {
    vocabularySize = try configuration.size("vocab_size", default: family.vocabulary)
    hiddenSize = try configuration.size(family.keys.hidden, default: family.hidden)
    layerCount = try configuration.size(
      family.keys.layers, default: family.layers, most: ModelConfiguration.mostLayers)
    headCount = try configuration.size(family.keys.heads, default: family.heads)
    intermediateSize = try configuration.size(family.keys.intermediate, default: family.intermediate)
    let positions = try configuration.size("max_position_embeddings", default: family.positions)
    positionRows = family.hasPositions ? positions : 0
    tokenTypes = family.hasTypes ? try configuration.size("type_vocab_size", default: family.tokenTypes) : 0
    layerNormEpsilon =
      try family.epsilonKey.map { try configuration.number($0, default: family.epsilon, in: 0...1) }
      ?? Float(family.epsilon)
    body = try family.body(configuration, layerCount)
    rows = configuration.kind.definition.rows
    var dropout = try family.dropout?(configuration, family) ?? EncoderDropout(configuration, family)
    if rows == .tokens, !family.tokensReadClassifierDropout { dropout.classifier = dropout.attentionOutput }
    self.dropout = dropout
    initializerRange = try configuration.number("initializer_range", default: 0.02, in: 0...10)
    var head = family.head
    try family.adaptHead(configuration, &head)
    self.head = head
    pooling = configuration.head == .pooler ? try Pooling(configuration) ?? Pooling() : nil
    barePooler = pooling == nil ? nil : family.barePooler
    names = pooling == nil ? family.names : family.names.bare
    let padding =
      try family.countsFromToken ?? (family.countsFromPadding ? configuration.paddingToken(below: vocabularySize) : nil)
    paddingToken = padding
    maximumPositions = positions - (padding.map { $0 + 1 } ?? 0)
    embedding = try family.embedding(configuration, hiddenSize)
    if configuration.json["id2label"]?.object?.isEmpty ?? true {
      _ = try configuration.size("num_labels", default: 2, most: LabelNames.most)
    }
    classCount = pooling == nil ? configuration.labels?.names.count ?? 2 : hiddenSize
    let source = configuration.source
    guard hiddenSize % headCount == 0 else {
      throw RetortError(
        .input, "\(family.keys.hidden) \(hiddenSize) is not a multiple of \(family.keys.heads) \(headCount)",
        at: source)
    }
    activation = try configuration.activation(family.keys.activation, default: .gelu)
    if maximumPositions < 1 {
      throw RetortError(
        .input, "max_position_embeddings is \(positions), and positions begin at \(positionOffset)", at: source)
    }
    if body.layers.contains(where: { $0.rotary != nil }), hiddenSize / headCount % 2 != 0 {
      throw RetortError(
        .input, "the size of a head is \(hiddenSize / headCount): rotary positions want an even one", at: source)
    }
    try configuration.requireBuildable(weights: [
      [vocabularySize, hiddenSize], [positionRows + tokenTypes, hiddenSize], [classCount, hiddenSize],
      [vocabularySize, embedding.size ?? 1],
      [layerCount, 4, hiddenSize, hiddenSize], [layerCount, 1 + innerFactor, intermediateSize, hiddenSize],
    ])
    if let kind = configuration.json["position_embedding_type"]?.string, kind != "absolute" {
      throw RetortError(.input, "position_embedding_type \"\(kind)\" is not built; only absolute is", at: source)
    }
    for flag in ["is_decoder", "add_cross_attention"] where configuration.json[flag]?.bool == true {
      throw RetortError(.input, "\(flag) is set: such a decoder is no classifier that Retort builds", at: source)
    }
  }

  /// The same sizes with another number of classes.
  package func with(classes: Int) -> EncoderConfiguration {
    if pooling != nil { return self }
    var copy = self
    copy.classCount = classes
    return copy
  }

  /// The row of the position table for a sequence's first token.
  package var positionOffset: Int { paddingToken.map { $0 + 1 } ?? 0 }
  /// Outputs of the feed-forward layer's first matrix for each inner unit: 2 with a gate.
  package var innerFactor: Int { body.isGated ? 2 : 1 }
  /// The sizes that objectives compare.
  package var shape: ModelShape {
    ModelShape(
      layers: layerCount, hidden: hiddenSize, heads: headCount, keyValueHeads: headCount,
      headSize: hiddenSize / headCount, isCausal: false, hasPooler: hasPooler,
      reaches: body.layers.map(\.reach), hasAttentionBias: body.biasBuckets != nil, pooledIsOutput: pooling != nil)
  }
  /// The width of the embedding tables.
  package var tableWidth: Int { if case .projectedSum(let size) = embedding { size } else { hiddenSize } }
}

/// How the embeddings of a token become its first state.
package enum EncoderEmbedding: Sendable, Equatable {
  /// norm(word + position + type).
  case sum
  /// norm(P word + position + type) for narrow token embeddings of this size.
  case projectedWords(Int)
  /// P norm(word + position + type) for narrow tables of this width.
  case projectedSum(Int)

  /// The size of what is projected; nil if nothing is.
  package var size: Int? {
    switch self {
    case .sum: nil
    case .projectedWords(let size), .projectedSum(let size): size
    }
  }
}

/// How outputs are made of the first token's state x, or of the mean of all states: W dropout(f(D x + d)) + b, or
/// W dropout(norm(f(D x + d))) + b. A head on tokens makes those of each token's state x: W dropout(x) + b, unless
/// `hasDenseOnTokens`.
package struct EncoderHead: Sendable, Equatable {
  /// What x is.
  package enum Pooling: Sendable { case first, mean }

  /// f.
  package var activation: Activation
  /// Whether x is dropped out too, as much as f's values.
  package let dropsState: Bool
  /// Whether D is the pooler of the encoder, so that f's value is the model's pooled output.
  package let isPooler: Bool
  /// What x is.
  package var pooling = Pooling.first
  /// Whether there is a d.
  package var hasBias = true
  /// Whether f's value is normalised.
  package var hasNorm = false
  /// Whether a head on tokens has D, f and norm too.
  package var hasDenseOnTokens = false
}

extension EncoderConfiguration {
  /// Whether the head has D.
  package var hasHeadDense: Bool { pooling == nil && (rows == .examples || head.hasDenseOnTokens) }
  /// Whether the head reads the mean of a sequence's states.
  var poolsMean: Bool { rows == .examples && head.pooling == .mean }
  /// Whether outputs are those of sequences and not of tokens.
  package var readsSequences: Bool { rows != .tokens }
  /// Whether the head reads only the first token of each sequence.
  package var readsFirstTokens: Bool {
    pooling.map { $0.mode == .cls } ?? (rows == .examples && head.pooling == .first)
  }
  /// Whether the model has a pooled output.
  package var hasPooler: Bool { pooling != nil || rows == .examples && head.isPooler }

  /// A head of these sizes with weights of zero; `norm` makes a norm of the hidden size with a name.
  func newHead(norm: (String) -> LayerNorm) -> ClassifierHead {
    ClassifierHead(
      rows: rows,
      dense: hasHeadDense ? Linear("pooler", inputs: hiddenSize, outputs: hiddenSize, hasBias: head.hasBias) : nil,
      activation: head.activation, norm: hasHeadDense && head.hasNorm ? norm("head.norm") : nil,
      stateDropout: head.dropsState ? dropout.classifier : 0, dropout: dropout.classifier, isPooler: head.isPooler,
      classifier: Linear("classifier", inputs: hiddenSize, outputs: classCount))
  }
}

extension ModelConfiguration {
  /// `pad_token_id`, by default 1.
  fileprivate func paddingToken(below count: Int) throws -> Int {
    guard let value = json["pad_token_id"], !value.isNull else { return 1 }
    guard let token = value.int, (0..<count).contains(token) else {
      throw RetortError(
        .input, "pad_token_id is \(value.text()), a token of the vocabulary was expected: positions count from it",
        at: source)
    }
    return token
  }
}

extension EncoderConfiguration: ModelSizes {
  package var depth: Int? { layerCount }
  package var textTypes: Int? { tokenTypes == 0 ? nil : tokenTypes }
  package var contextLength: Int? { min(maximumPositions, pooling?.maxLength ?? maximumPositions) }
  package var vocabulary: Int? { vocabularySize }
  package var text: String { "L\(layerCount) H\(hiddenSize)" }
  package var classifierName: String? { pooling == nil ? "\(classifierTensor).weight" : nil }
  /// The name of the head's last layer: that of a head on tokens is the same in all families.
  var classifierTensor: String { rows == .examples ? names.classifier : "classifier" }
  /// The first layer of a head on sequences, which a head on tokens has not.
  package var unreadPrefixes: [String] { hasHeadDense ? [] : names.spellings("\(names.dense).") }

  package var probes: [(names: [String], shape: [Int])] {
    func probe(_ name: String, _ shape: [Int]) -> ([String], [Int]) {
      (names.spellings("\(names.prefix)\(name).weight"), shape)
    }
    var probes = [probe(names.words, [vocabularySize, embedding.size ?? hiddenSize])]
    if positionRows > 0 { probes.append(probe(names.positions, [positionRows, tableWidth])) }
    if tokenTypes > 0 { probes.append(probe(names.types, [tokenTypes, tableWidth])) }
    let projection =
      names.projections.map { probe("\(names.layers)0.\($0)", [3 * hiddenSize, hiddenSize]) }
      ?? probe("\(names.layers)0.\(names.query)", [hiddenSize, hiddenSize])
    return probes + [
      projection, probe("\(names.layers)0.\(names.inner)", [innerFactor * intermediateSize, hiddenSize]),
    ]
  }

  /// At least one layer per pipeline stage and one head per tensor-parallel shard.
  package func build(part: ModelPart, source: String) throws -> any Model {
    if part.stages > max(1, layerCount) {
      throw RetortError(
        .configuration, "\(part.stages) pipeline stages for \(layerCount) layers", at: source,
        remedy: "distribute the model over at most \(layerCount) ranks")
    }
    if part.shards > headCount {
      throw RetortError(
        .configuration, "\(part.shards) tensor-parallel shards for \(headCount) attention heads", at: source,
        remedy: "distribute the model over at most \(headCount) ranks")
    }
    return EncoderClassifier(self, part: part)
  }
}
