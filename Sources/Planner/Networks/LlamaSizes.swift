import Models

/// The sizes of a Llama-family model: RMSNorm, rotary positions, grouped-query attention, SwiGLU.
package struct LlamaSizes: NetworkSizes, Equatable {
  /// V, h, L and H.
  package let vocabularySize: Int, hiddenSize: Int, layerCount: Int, headCount: Int
  /// H_kv: key and value heads, a divisor of H.
  package let keyValueHeads: Int
  /// d: elements of a head.
  package let headSize: Int
  /// ff.
  package let intermediateSize: Int
  /// Whether the head shares the token embeddings.
  package let isTied: Bool
  /// Whether queries, keys and values, the output of attention, and the feed-forward part have biases.
  package let hasProjectionBias: Bool, hasOutputBias: Bool, hasFeedForwardBias: Bool
  package let maximumPositions: Int?

  /// Makes the sizes; `headSize` is h / H by default.
  package init(
    vocabularySize: Int, hiddenSize: Int, layerCount: Int, headCount: Int, keyValueHeads: Int? = nil,
    headSize: Int? = nil, intermediateSize: Int, isTied: Bool = false, hasProjectionBias: Bool = false,
    hasOutputBias: Bool = false, hasFeedForwardBias: Bool = false, maximumPositions: Int? = nil
  ) {
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.layerCount = layerCount
    self.headCount = headCount
    self.keyValueHeads = keyValueHeads ?? headCount
    self.headSize = headSize ?? hiddenSize / headCount
    self.intermediateSize = intermediateSize
    self.isTied = isTied
    self.hasProjectionBias = hasProjectionBias
    self.hasOutputBias = hasOutputBias
    self.hasFeedForwardBias = hasFeedForwardBias
    self.maximumPositions = maximumPositions
  }

  package var shape: ModelShape? {
    ModelShape(
      layers: layerCount, hidden: hiddenSize, heads: headCount, keyValueHeads: keyValueHeads, headSize: headSize,
      isCausal: true, hasPooler: false)
  }
  package var name: String { "llama L\(layerCount) H\(hiddenSize)" }
  package var classCount: Int { vocabularySize }
  package var isLanguageModel: Bool { true }
  /// false: the residual stream of a Llama is f32 in both precisions.
  package var roundsStates: Bool { false }
  package var hasDividedHead: Bool { true }
  package func summedElements(_ load: TokenLoad) -> Int { (2 * layerCount + 1) * load.tokens * hiddenSize }

  private var queries: Int { headCount * headSize }
  /// Columns of queries, keys and values together: (H + 2·H_kv)·d.
  private var projected: Int { (headCount + 2 * keyValueHeads) * headSize }

  /// A layer has h·(H + 2·H_kv)·d + H·d·h + 3·h·ff + 2·h weights, which for H·d = h is
  /// 2h² + 2·h·H_kv·d + 3·h·ff + 2h; the embeddings have V·h, an untied head as many, and the last norm h.
  package var tensors: [WeightTensor] {
    let head = layerCount + 1
    var all = [
      WeightTensor(vocabularySize, hiddenSize, block: 0, isLookup: !isTied, isFactor: isTied)
    ]
    for layer in stride(from: 1, through: layerCount, by: 1) { all += tensors(ofLayer: layer) }
    all.append(WeightTensor(hiddenSize, block: head))
    if !isTied { all.append(WeightTensor(vocabularySize, hiddenSize, block: head, isFactor: true)) }
    return all
  }

  private func tensors(ofLayer block: Int) -> [WeightTensor] {
    func product(_ outputs: Int, _ inputs: Int, bias: Bool) -> [WeightTensor] {
      [WeightTensor(outputs, inputs, block: block, isFactor: true)]
        + (bias ? [WeightTensor(outputs, block: block)] : [])
    }
    let norm = [WeightTensor(hiddenSize, block: block)]
    return norm + product(projected, hiddenSize, bias: hasProjectionBias)
      + product(hiddenSize, queries, bias: hasOutputBias) + norm
      + product(2 * intermediateSize, hiddenSize, bias: hasFeedForwardBias)
      + product(hiddenSize, intermediateSize, bias: hasFeedForwardBias)
  }

  /// 2·T·(weights of a layer's products)·L, 2·V·h·T for the head, and for causal attention 4·H·d for each of the
  /// S·(S + 1)/2 pairs of a sequence and layer.
  package func forwardFLOPs(_ load: TokenLoad) -> Double {
    let (tokens, length) = (Double(load.tokens), Double(load.length))
    let products = hiddenSize * projected + queries * hiddenSize + 3 * hiddenSize * intermediateSize
    let attention = 2 * Double(queries) * length * (length + 1) * Double(load.sequences)
    return Double(layerCount) * (2 * tokens * Double(products) + attention) + headFLOPs(rows: load.tokens)
  }

  package func headFLOPs(rows: Int) -> Double { 2 * Double(rows) * Double(hiddenSize) * Double(vocabularySize) }

  /// The residual stream before and after attention in f32 (8·h); queries, keys and values, attention's output, and the
  /// gate and up projections in the format of the pass. The outputs of norms and SwiGLU are recomputed.
  package func keptBytes(_ format: PlannedFormat) -> Int {
    let flow = projected + queries + 2 * intermediateSize
    return 8 * hiddenSize + flow * format.bytes + 4 * headCount
  }

  /// The gradients of gate, up and SwiGLU's output, its recomputed output, and two gradients of the residual stream.
  package func backwardBytes(_ format: PlannedFormat) -> Int {
    4 * intermediateSize * format.bytes + 2 * 4 * hiddenSize
  }

  /// The residual stream, a normalised copy, and the larger of attention and the feed-forward part.
  package func inferenceBytes(_ format: PlannedFormat) -> Int {
    8 * hiddenSize + (hiddenSize + max(projected + queries, 3 * intermediateSize)) * format.bytes
  }
}
