import Autograd
import Datasets
import Layers
import Tensors

/// One transformer layer with post-normalisation: attention, add, norm, feed-forward, add, norm.
struct EncoderLayer {
  /// Its index in the whole model, from 0.
  let number: Int
  let attention: SelfAttention
  let attentionNorm: LayerNorm
  let intermediate: Linear
  let output: Linear
  let outputNorm: LayerNorm
  let activation: Activation
  let hiddenDropout: Float

  init(_ number: Int, _ configuration: EncoderConfiguration, _ part: ModelPart) {
    self.number = number
    let name = "layers.\(number)"
    let hidden = configuration.hiddenSize
    let inner = part.share(of: configuration.intermediateSize).count
    attention = SelfAttention(
      "\(name).attention", hidden: hidden, heads: part.share(of: configuration.headCount).count,
      headSize: hidden / configuration.headCount, dropoutProbability: configuration.attentionDropout)
    attentionNorm = LayerNorm("\(name).attention.norm", size: hidden, epsilon: configuration.layerNormEpsilon)
    intermediate = Linear("\(name).intermediate", inputs: hidden, outputs: inner)
    output = Linear("\(name).output", inputs: inner, outputs: hidden)
    outputNorm = LayerNorm("\(name).output.norm", size: hidden, epsilon: configuration.layerNormEpsilon)
    activation = configuration.activation
    hiddenDropout = configuration.hiddenDropout
  }

  var parameters: [Parameter] {
    attention.parameters + attentionNorm.parameters + intermediate.parameters + output.parameters
      + outputNorm.parameters
  }

  /// The layer's output states, for all tokens or for the first tokens only: after attention no token reads another.
  func callAsFunction(_ x: Variable, offsets: [Int32], only first: FirstTokens? = nil, _ context: ForwardContext)
    -> Variable
  {
    let attended = attention(x, layer: number + 1, offsets: offsets, rows: first?.rows, context)
    // A sequence's first row has the same mask with and without the other rows.
    let ranges = first?.offsets ?? offsets
    let middle = attentionNorm(
      attended, dropout: context.nextMask(hiddenDropout, offsets: ranges),
      residual: first.map { context.tape.selectRows(x, $0.rows) } ?? x, context)
    let narrow = output.summed(intermediate(middle, activation: activation, context), context)
    let states = outputNorm(
      narrow, dropout: context.nextMask(hiddenDropout, offsets: ranges), residual: middle, context)
    context.observe(.states(number + 1), states)
    return states
  }
}

/// The first token of each sequence of a batch, which the classifier reads.
struct FirstTokens {
  /// Their row numbers among all tokens.
  let rows: [Int32]
  /// 0 ... B: with first tokens only, each sequence has one row.
  let offsets: [Int32]

  init(of batch: Batch) {
    rows = Array(batch.offsets.dropLast())
    offsets = (0...Int32(batch.count)).map { $0 }
  }
}
