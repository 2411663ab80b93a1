import Models
import Platform

/// A decoder for a plan: its weights and arithmetic are those of the model, and this type adds the memory of a pass.
package struct DecoderSizes: NetworkSizes, Equatable {
  /// The sizes and traits of the model.
  package let configuration: DecoderConfiguration
  /// `model_type`.
  package let family: String
  /// Those of the model, block by block.
  package let tensors: [WeightTensor]

  /// Describes a decoder. Throws the errors of building it.
  package init(_ configuration: DecoderConfiguration, family: String) throws {
    self.configuration = configuration
    self.family = family
    // One layer shows the others, so that a plan of a large model takes no addresses for it.
    let model = try configuration.withOneLayer.build(part: .whole, source: family)
    tensors = [WeightTensor](of: model, layers: configuration.layerCount)
  }

  package var shape: ModelShape? { configuration.shape }
  package var name: String { "\(family) L\(layerCount) H\(hiddenSize)" }
  package var layerCount: Int { configuration.layerCount }
  package var hiddenSize: Int { configuration.hiddenSize }
  package var headCount: Int { configuration.headCount }
  package var classCount: Int { configuration.outputCount }
  package var maximumPositions: Int? { configuration.maximumPositions }
  package var isTied: Bool { isLanguageModel && configuration.isTied }
  package var isLanguageModel: Bool { configuration.classes == nil }
  /// false: the residual stream of a decoder is f32 in both precisions.
  package var roundsStates: Bool { false }
  package var hasDividedHead: Bool { isLanguageModel }
  package func summedElements(_ load: TokenLoad) -> Int { (2 * layerCount + 1) * load.tokens * hiddenSize }

  package func forwardFLOPs(_ load: TokenLoad) -> Double {
    Double(load.sequences) * configuration.forwardFLOPs(lengths: [load.length])
  }

  package func headFLOPs(rows: Int) -> Double { 2 * Double(rows) * Double(hiddenSize) * Double(classCount) }

  /// Elements of a token's queries, keys and values together: (H + 2·K)·D.
  private var projected: Int { configuration.queryWidth + 2 * configuration.keyWidth }
  private var inner: Int { configuration.intermediateSize }

  /// The residual stream before and after attention in f32 (8·h); queries, keys and values, attention's output, and the
  /// gate and up projections in the format of the pass. The outputs of norms and gated units are recomputed, in fp32
  /// not those of activations without a gate. Norms of heads keep the projections before them, and norms of outputs
  /// these outputs in f32.
  package func keptBytes(_ format: PlannedFormat) -> Int {
    let isKept = !configuration.isGated && format == .fp32
    var flow = projected + configuration.queryWidth + (configuration.isGated || isKept ? 2 : 1) * inner
    var exact = 8 * hiddenSize + 4 * headCount
    if configuration.normalizesHeads {
      flow += projected
      exact += 4 * (headCount + configuration.keyValueHeadCount)
    }
    if configuration.hasPostNorms { exact += 8 * hiddenSize }
    return exact + flow * format.bytes
  }

  /// The gradients of gate, up and the unit's output, its recomputed output, and two gradients of the residual stream.
  package func backwardBytes(_ format: PlannedFormat) -> Int {
    (configuration.isGated ? 4 : 3) * inner * format.bytes + 2 * 4 * hiddenSize
  }

  /// The residual stream, a normalised copy, and the larger of attention and the feed-forward part.
  package func inferenceBytes(_ format: PlannedFormat) -> Int {
    let fed = (configuration.isGated ? 3 : 2) * inner
    return 8 * hiddenSize + (hiddenSize + max(projected + configuration.queryWidth, fed)) * format.bytes
  }
}
