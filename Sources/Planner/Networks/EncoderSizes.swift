import Models

/// The sizes of an encoder with a classifier: what its configuration and the model built from it, without weights in
/// memory, tell.
package struct EncoderSizes: NetworkSizes {
  /// The description of the model.
  package let configuration: EncoderConfiguration
  /// `model_type`.
  package let family: String
  package let tensors: [WeightTensor]

  /// Lists the tensors of a model with these sizes.
  package init(_ configuration: EncoderConfiguration, family: String) {
    self.configuration = configuration
    self.family = family
    tensors = [WeightTensor](of: EncoderClassifier(configuration))
  }

  package var name: String { "\(family) \(configuration.text)" }
  package var layerCount: Int { configuration.layerCount }
  package var hiddenSize: Int { configuration.hiddenSize }
  package var headCount: Int { configuration.headCount }
  package var classCount: Int { configuration.classCount }
  package var isLanguageModel: Bool { false }
  package var hasRowsOfTokens: Bool { configuration.rows == .tokens }
  package var maximumPositions: Int? { configuration.maximumPositions }
  package var shape: ModelShape? { configuration.shape }
  package var isTied: Bool { false }
  package var hasDividedHead: Bool { false }
  package var roundsStates: Bool { !isStream }

  private var isStream: Bool { configuration.body.isStream }
  private var intermediateSize: Int { configuration.intermediateSize }
  /// The outputs of the feed-forward layer's first matrix.
  private var widened: Int { configuration.innerFactor * intermediateSize }
  /// Whether the last layer computes first tokens only after attention.
  private var endsWithFirstTokens: Bool { configuration.readsFirstTokens }

  /// Per layer two sums of [T, h]; in the last layer only of first tokens if the head reads no others.
  package func summedElements(_ load: TokenLoad) -> Int {
    let last = endsWithFirstTokens ? load.sequences : load.tokens
    let layers = max(0, layerCount - 1) * load.tokens + min(1, layerCount) * last
    return 2 * hiddenSize * layers + (configuration.embedding.size ?? hiddenSize) * load.tokens
  }

  package func forwardFLOPs(_ load: TokenLoad) -> Double {
    configuration.forwardFLOPs(lengths: Array(repeating: load.length, count: load.sequences))
  }

  package func headFLOPs(rows: Int) -> Double { configuration.headFLOPs(rows: rows) }

  /// Queries, keys and values, attention's output, the feed-forward layer's first product, and the two sums before or
  /// after which the norms are. With norms after, GELU and norms keep their outputs in fp32, and a bf16 pass recomputes
  /// them; a stream's sums are float32, and everything else is recomputed.
  package func keptBytes(_ format: PlannedFormat) -> Int {
    let flow = 4 * hiddenSize + widened
    if isStream { return 8 * hiddenSize + flow * format.bytes + 4 * headCount + 16 }
    let held = format == .fp32 ? 2 * hiddenSize + intermediateSize : 0
    return (flow + 2 * hiddenSize + held) * format.bytes + 4 * headCount + 16
  }

  /// After attention only the first tokens remain, if the head reads no others.
  package func lastKeptBytes(_ format: PlannedFormat) -> Int {
    if !endsWithFirstTokens { return keptBytes(format) }
    if isStream { return 4 * hiddenSize + 4 * hiddenSize * format.bytes + 4 * headCount }
    return (format == .fp32 ? 5 : 4) * hiddenSize * format.bytes + 4 * headCount
  }

  /// The gradients of the activation's input and output, its recomputed output, and two gradients of the residual
  /// stream.
  package func backwardBytes(_ format: PlannedFormat) -> Int {
    (widened + 2 * intermediateSize) * format.bytes + 2 * hiddenSize * (isStream ? 4 : format.bytes)
  }

  package func inferenceBytes(_ format: PlannedFormat) -> Int {
    if isStream { return 8 * hiddenSize + (hiddenSize + max(4 * hiddenSize, 3 * intermediateSize)) * format.bytes }
    return max(5 * hiddenSize, 3 * hiddenSize + intermediateSize) * format.bytes
  }
}
