import Autograd
import Datasets
import Layers
import Platform
import Tensors

/// A decoder with a linear head on the last token of each sequence: `…ForSequenceClassification` of `transformers`.
///
/// The head is replicated over tensor-parallel shards.
package final class DecoderClassifier: StagedModel {
  private let body: DecoderModel
  /// [classes, hidden], without a bias; nil before the last stage.
  private let score: Linear?

  /// Puts a head with weights of zero on a decoder that has no other.
  init(_ body: DecoderModel) {
    self.body = body
    score =
      body.part.hasHead
      ? Linear("score", inputs: body.hiddenSize, outputs: body.configuration.outputCount, hasBias: false) : nil
  }

  package var part: ModelPart { body.part }
  package var classCount: Int { body.configuration.outputCount }
  package var layerCount: Int { body.layerCount }
  package var hiddenSize: Int { body.hiddenSize }
  package var shape: ModelShape { body.shape }
  package var roundsStates: Bool { body.roundsStates }
  /// All rows: each shard has the whole head.
  package var headRows: Range<Int> { 0..<classCount }
  package var lookups: [LookupTable] { body.lookups }
  package var parameters: [Parameter] { body.parameters + (score?.parameters ?? []) }

  package var bounds: Batch.Bounds {
    var bounds = body.bounds
    bounds.classes = classCount
    return bounds
  }

  package var blocks: [[Parameter]] {
    var blocks = body.blocks
    blocks[blocks.count - 1] += score?.parameters ?? []
    return blocks
  }

  package var weightTable: [WeightBinding] {
    body.weightTable + (score.map { [WeightBinding("score.weight", $0.weight, isHead: true)] } ?? [])
  }

  package func embed(_ batch: Batch, _ context: ForwardContext) -> Variable { body.embed(batch, context) }

  package func advance(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    body.advance(x, batch, context)
  }

  /// The normalised states of the last tokens, [B, hidden].
  package func headStates(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    context.tape.selectRows(body.normed(x, context), lastTokens(of: batch))
  }

  /// The last token of each sequence that is not padding, or the first one if all are.
  private func lastTokens(of batch: Batch) -> [Int32] {
    let padding = body.configuration.paddingToken.map(Int32.init(clamping:))
    return zip(batch.offsets, batch.offsets.dropFirst()).map { start, end in
      var last = end - 1
      guard let padding else { return last }
      while last > start, batch.tokens[Int(last)] == padding { last -= 1 }
      return last
    }
  }

  package func headLogits(_ states: Variable, _ context: ForwardContext) -> Variable { ownScore.wide(states, context) }
  package var headWeights: (matrix: Parameter, bias: Parameter?) { (ownScore.weight, nil) }

  private var ownScore: Linear {
    guard let score else { preconditionFailure("the head is in the last stage of \(part)") }
    return score
  }

  /// The logits, [B, classes].
  package func finish(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    context.block(blocks.count - 1, x) { x, context in self.headLogits(self.headStates(x, batch, context), context) }
  }

  package func forward(_ batch: Batch, _ context: ForwardContext) -> Variable {
    finish(advance(embed(batch, context), batch, context), batch, context)
  }

  package func block(of point: PassPoint) -> Int { body.block(of: point) }

  package func initialize(_ parameter: Parameter, seed: UInt64) { body.initialize(parameter, seed: seed) }

  package func forwardFLOPs(lengths: [Int]) -> Double { body.forwardFLOPs(lengths: lengths) }
}
