import Autograd
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
  /// `max_position_embeddings`: rows of the position table.
  package let positionRows: Int
  /// The token after which positions count: the first token of a sequence has the row behind it. Nil: they begin at 0.
  package let paddingToken: Int?
  /// `type_vocab_size`: number of token types; 0 for a family without them.
  package let tokenTypes: Int
  /// `layer_norm_eps`: added to the variance in every norm, 0 to 1.
  package let layerNormEpsilon: Float
  /// `hidden_act`: activation of the feed-forward layer.
  package let activation: Activation
  /// `hidden_dropout_prob`: after the embeddings, the attention and the feed-forward layer; 0 to 0.99.
  package let hiddenDropout: Float
  /// `attention_probs_dropout_prob`: on the attention probabilities, 0 to 0.99.
  package let attentionDropout: Float
  /// `classifier_dropout`: before the classifier, 0 to 0.99; `hiddenDropout` if the key is null or missing.
  package let classifierDropout: Float
  /// `initializer_range`: standard deviation of initial weights.
  package let initializerRange: Float
  /// Number of classes, from `id2label` or `num_labels`; 2 without either.
  package let classCount: Int
  /// How the embeddings of a token become its first state.
  package let embedding: EncoderEmbedding
  /// How the logits are made of the first token's state.
  package let head: EncoderHead
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
    positionRows = try configuration.size("max_position_embeddings", default: 512)
    tokenTypes = family.hasTypes ? try configuration.size("type_vocab_size", default: family.tokenTypes) : 0
    layerNormEpsilon = try family.hasEpsilon ? configuration.number("layer_norm_eps", default: 1e-12, in: 0...1) : 1e-12
    hiddenDropout = try configuration.number(family.keys.dropout, default: 0.1, in: 0...0.99)
    attentionDropout = try configuration.number(family.keys.attentionDropout, default: 0.1, in: 0...0.99)
    classifierDropout = try configuration.number(
      family.keys.classifierDropout, default: family.classifierDropout ?? Double(hiddenDropout), in: 0...0.99)
    initializerRange = try configuration.number("initializer_range", default: 0.02, in: 0...10)
    (head, names) = (family.head, family.names)
    paddingToken = try family.countsFromPadding ? configuration.paddingToken(below: vocabularySize) : nil
    embedding = try family.embedding(configuration, hiddenSize)
    if configuration.json["id2label"]?.object?.isEmpty ?? true {
      _ = try configuration.size("num_labels", default: 2, most: LabelNames.most)
    }
    classCount = configuration.labels?.names.count ?? 2
    let source = configuration.source
    guard hiddenSize % headCount == 0 else {
      throw RetortError(
        .input, "\(family.keys.hidden) \(hiddenSize) is not a multiple of \(family.keys.heads) \(headCount)",
        at: source)
    }
    activation = try configuration.activation(family.keys.activation, default: .gelu)
    if positionRows <= positionOffset {
      throw RetortError(
        .input, "max_position_embeddings is \(positionRows), and positions begin at \(positionOffset)", at: source)
    }
    try configuration.requireBuildable(weights: [
      [vocabularySize, hiddenSize], [positionRows + tokenTypes, hiddenSize], [classCount, hiddenSize],
      [vocabularySize, embedding.size ?? 1], [layerCount, 2, 2 * hiddenSize + intermediateSize, hiddenSize],
    ])
    if let kind = configuration.json["position_embedding_type"]?.string, kind != "absolute" {
      throw RetortError(.input, "position_embedding_type \"\(kind)\" is not built; only absolute is", at: source)
    }
    for flag in ["is_decoder", "add_cross_attention"] where configuration.json[flag]?.bool == true {
      throw RetortError(.input, "\(flag) is set: such a decoder is no classifier that Retort builds", at: source)
    }
  }

  /// The row of the position table for a sequence's first token.
  package var positionOffset: Int { paddingToken.map { $0 + 1 } ?? 0 }
  /// The maximum sequence length in tokens.
  package var maximumPositions: Int { positionRows - positionOffset }
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

/// How logits are made of the first token's state x: W dropout(f(D x + d)) + b.
package struct EncoderHead: Sendable, Equatable {
  /// f.
  package let activation: Activation
  /// Whether x is dropped out too, as much as f's values.
  package let dropsState: Bool
  /// Whether D is the pooler of the encoder, so that f's value is the model's pooled output.
  package let isPooler: Bool
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
  package var contextLength: Int? { maximumPositions }
  package var vocabulary: Int? { vocabularySize }
  package var text: String { "L\(layerCount) H\(hiddenSize)" }
  package var classifierName: String? { "\(names.classifier).weight" }

  package var probes: [(names: [String], shape: [Int])] {
    func probe(_ name: String, _ shape: [Int]) -> ([String], [Int]) {
      (names.spellings("\(names.prefix)\(name).weight"), shape)
    }
    var probes = [
      probe(names.words, [vocabularySize, embedding.size ?? hiddenSize]),
      probe(names.positions, [positionRows, tableWidth]),
    ]
    if tokenTypes > 0 { probes.append(probe(names.types, [tokenTypes, tableWidth])) }
    return probes + [
      probe("\(names.layers)0.\(names.query)", [hiddenSize, hiddenSize]),
      probe("\(names.layers)0.\(names.inner)", [intermediateSize, hiddenSize]),
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
