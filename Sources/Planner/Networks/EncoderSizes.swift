import Models

/// The sizes of an encoder of BERT's kind with a classifier.
package struct EncoderSizes: NetworkSizes, Equatable {
  /// `model_type`.
  package let family: String
  /// V, h, L, H and the width of the feed-forward part.
  package let vocabularySize: Int, hiddenSize: Int, layerCount: Int, headCount: Int, intermediateSize: Int
  /// Rows of the other two embedding tables; 0 token types: no such table.
  package let positions: Int, tokenTypes: Int
  /// The row of the first position.
  package let positionOffset: Int
  /// C.
  package let classCount: Int
  /// How the embeddings of a token become its first state.
  package let embedding: EncoderEmbedding
  /// Whether the head's first layer is a pooler, whose output objectives can compare.
  package let hasPooler: Bool

  /// Makes the sizes; see the properties.
  package init(
    family: String = "bert", vocabularySize: Int, hiddenSize: Int, layerCount: Int, headCount: Int,
    intermediateSize: Int, positions: Int = 512, positionOffset: Int = 0, tokenTypes: Int = 2, classCount: Int = 2,
    embedding: EncoderEmbedding = .sum, hasPooler: Bool = true
  ) {
    self.family = family
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.layerCount = layerCount
    self.headCount = headCount
    self.intermediateSize = intermediateSize
    self.positions = positions
    self.positionOffset = positionOffset
    self.tokenTypes = tokenTypes
    self.classCount = classCount
    self.embedding = embedding
    self.hasPooler = hasPooler
  }

  package var shape: ModelShape? {
    ModelShape(
      layers: layerCount, hidden: hiddenSize, heads: headCount, keyValueHeads: headCount,
      headSize: hiddenSize / max(1, headCount), isCausal: false, hasPooler: hasPooler)
  }
  package var name: String { "\(family) L\(layerCount) H\(hiddenSize)" }
  package var isLanguageModel: Bool { false }
  package var maximumPositions: Int? { positions - positionOffset }
  /// The width of the embedding tables.
  private var tableWidth: Int { if case .projectedSum(let size) = embedding { size } else { hiddenSize } }
  package var isTied: Bool { false }
  package var hasDividedHead: Bool { false }
  package var roundsStates: Bool { true }

  /// Per layer two sums of [T, h]; in the last layer only of the first tokens.
  package func summedElements(_ load: TokenLoad) -> Int {
    let layers = max(0, layerCount - 1) * load.tokens + min(1, layerCount) * load.sequences
    return 2 * hiddenSize * layers + (embedding.size ?? hiddenSize) * load.tokens
  }

  /// (V + positions + types)·h + 2h for the embeddings, 4h² + 2·h·ff + 9h + ff per layer, h² + h for the head's first
  /// layer and C·h + C for its second. With narrow embeddings of size p, V·p + p·h + h replaces V·h, or p replaces h in
  /// all tables and p·h + h is added.
  package var tensors: [WeightTensor] {
    let last = layerCount + 1
    var all = [WeightTensor(vocabularySize, embedding.size ?? hiddenSize, block: 0, isLookup: true)]
    if let size = embedding.size { all += product(hiddenSize, size, 0) }
    all += [positions, tokenTypes].filter { $0 > 0 }.map { WeightTensor($0, tableWidth, block: 0) }
    all += norm(0, tableWidth)
    for layer in stride(from: 1, through: layerCount, by: 1) {
      all += product(3 * hiddenSize, hiddenSize, layer) + product(hiddenSize, hiddenSize, layer) + norm(layer)
      all += product(intermediateSize, hiddenSize, layer) + product(hiddenSize, intermediateSize, layer) + norm(layer)
    }
    return all + product(hiddenSize, hiddenSize, last) + product(classCount, hiddenSize, last)
  }

  private func product(_ outputs: Int, _ inputs: Int, _ block: Int) -> [WeightTensor] {
    [WeightTensor(outputs, inputs, block: block, isFactor: true), WeightTensor(outputs, block: block)]
  }

  private func norm(_ block: Int, _ width: Int? = nil) -> [WeightTensor] {
    Array(repeating: WeightTensor(width ?? hiddenSize, block: block), count: 2)
  }

  /// As `EncoderClassifier` counts it: in the last layer, everything after attention is computed for first tokens only.
  package func forwardFLOPs(_ load: TokenLoad) -> Double {
    let (h, inner) = (Double(hiddenSize), Double(intermediateSize))
    let (tokens, length, count) = (Double(load.tokens), Double(load.length), Double(load.sequences))
    let attention = Double(layerCount) * (6 * tokens * h * h + 4 * h * length * length * count)
    let rows = Double(max(0, layerCount - 1)) * tokens + Double(min(1, layerCount)) * count
    let projection = 2 * Double(embedding.size ?? 0) * h * tokens
    return attention + rows * (2 * h * h + 4 * h * inner) + headFLOPs(rows: load.sequences) + projection
  }

  package func headFLOPs(rows: Int) -> Double {
    Double(rows) * (2 * Double(hiddenSize) * Double(hiddenSize) + 2 * Double(hiddenSize) * Double(classCount))
  }

  /// Queries, keys and values, attention's output, the two sums before the norms, GELU's input: (6·h + ff) elements;
  /// in fp32 also the outputs of the norms and GELU, which a bf16 pass recomputes.
  package func keptBytes(_ format: PlannedFormat) -> Int {
    let held = format == .fp32 ? 2 * hiddenSize + intermediateSize : 0
    return (6 * hiddenSize + intermediateSize + held) * format.bytes + 4 * headCount + 16
  }

  /// After attention only the first tokens remain.
  package func lastKeptBytes(_ format: PlannedFormat) -> Int {
    (format == .fp32 ? 5 : 4) * hiddenSize * format.bytes + 4 * headCount
  }

  /// The gradients of GELU's input and output, its recomputed output, and two gradients of the residual stream.
  package func backwardBytes(_ format: PlannedFormat) -> Int {
    (3 * intermediateSize + 2 * hiddenSize) * format.bytes
  }

  package func inferenceBytes(_ format: PlannedFormat) -> Int {
    max(5 * hiddenSize, 3 * hiddenSize + intermediateSize) * format.bytes
  }
}
