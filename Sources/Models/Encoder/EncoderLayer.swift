import Autograd
import Datasets
import Layers
import Tensors

/// One transformer layer: attention and a feed-forward layer, each with its norm.
///
///     norms after      x = norm(x + attention(x)), then x = norm(x + feedForward(x))
///     norms before     x = x + attention(norm(x)), then x = x + feedForward(norm(x))
struct EncoderLayer {
  /// Its index in the whole model, from 0.
  let number: Int
  let attention: SelfAttention
  /// Nil in the first layer with norms before.
  let attentionNorm: LayerNorm?
  /// The inner units; with a gate the gates G, then the ups U.
  let intermediate: Linear
  let output: Linear
  let outputNorm: LayerNorm
  let activation: Activation
  let body: EncoderBody
  let dropout: EncoderDropout
  /// Whether a norm follows the layers, whose output are the last states.
  private let isLastOfStream: Bool

  /// - Parameters:
  ///   - rotary: the rotary angles, shared by layers of one kind.
  ///   - bias: the bias by distance, shared by all layers.
  init(
    _ number: Int, _ configuration: EncoderConfiguration, _ part: ModelPart, _ rotary: RotaryTable?,
    _ bias: RelativeBias?
  ) {
    self.number = number
    let name = "layers.\(number)"
    let (hidden, body) = (configuration.hiddenSize, configuration.body)
    let inner = part.share(of: configuration.intermediateSize).count
    func norm(_ name: String) -> LayerNorm {
      LayerNorm(name, size: hidden, epsilon: configuration.layerNormEpsilon, hasBias: body.hasNormBias)
    }
    attention = SelfAttention(
      "\(name).attention", hidden: hidden, heads: part.share(of: configuration.headCount).count,
      headSize: hidden / configuration.headCount, hasBias: body.hasAttentionBias, rotary: rotary,
      reach: body.attention(number).reach, bias: bias, dropoutProbability: configuration.dropout.attention)
    attentionNorm = body.norms == .before && number == 0 ? nil : norm("\(name).attention.norm")
    intermediate = Linear(
      "\(name).intermediate", inputs: hidden, outputs: configuration.innerFactor * inner,
      hasBias: body.hasFeedForwardBias)
    output = Linear("\(name).output", inputs: inner, outputs: hidden, hasBias: body.hasFeedForwardBias)
    outputNorm = norm("\(name).output.norm")
    activation = configuration.activation
    dropout = configuration.dropout
    self.body = body
    isLastOfStream = body.norms == .before && number + 1 == configuration.layerCount
  }

  var parameters: [Parameter] {
    attention.parameters + (attentionNorm?.parameters ?? []) + intermediate.parameters + output.parameters
      + outputNorm.parameters
  }

  /// The layer's output states, for all tokens or for the first tokens only: after attention no token reads another.
  func callAsFunction(_ x: Variable, at places: TokenPlaces, only first: HeadTokens? = nil, _ context: ForwardContext)
    -> Variable
  {
    // A sequence's first row has the same mask with and without the other rows.
    let offsets = first?.offsets ?? places.offsets
    let states: Variable
    switch body.norms {
    case .after: states = normsAfter(x, places, first, offsets, context)
    case .before: states = normsBefore(x, places, first, offsets, context)
    }
    if !isLastOfStream { context.observe(.states(number + 1), states) }
    return states
  }

  private func normsAfter(
    _ x: Variable, _ places: TokenPlaces, _ first: HeadTokens?, _ offsets: [Int32], _ context: ForwardContext
  ) -> Variable {
    guard let attentionNorm else { preconditionFailure("layer \(number) has no norm after attention") }
    let attended = attention(x, layer: number + 1, at: places, rows: first?.rows, context)
    let middle = attentionNorm(
      attended, dropout: context.nextMask(dropout.attentionOutput, offsets: offsets),
      residual: first.map { context.tape.selectRows(x, $0.rows) } ?? x, context)
    let narrow = output.summed(inner(middle, offsets, context), context)
    let mask = dropout.output.flatMap { context.nextMask($0, offsets: offsets) }
    return outputNorm(narrow, dropout: mask, residual: middle, context)
  }

  private func normsBefore(
    _ x: Variable, _ places: TokenPlaces, _ first: HeadTokens?, _ offsets: [Int32], _ context: ForwardContext
  ) -> Variable {
    let tape = context.tape
    let read = attentionNorm.map { $0.stream(x, context).output } ?? x
    let attended = context.dropout(
      attention(read, layer: number + 1, at: places, rows: first?.rows, wide: true, context),
      probability: dropout.attentionOutput, offsets: offsets)
    let middle = outputNorm.stream(
      attended, residual: first.map { tape.selectRows(x, $0.rows) } ?? x, context)
    let narrow = context.summed(output.wide(inner(middle.output, offsets, context), context))
    let dropped = dropout.output.map { context.dropout(narrow, probability: $0, offsets: offsets) } ?? narrow
    return tape.add(middle.sum, dropped)
  }

  /// The inner units of the feed-forward layer, after dropout.
  private func inner(_ x: Variable, _ offsets: [Int32], _ context: ForwardContext) -> Variable {
    let units =
      body.isGated
      ? context.tape.gated(activation, intermediate(x, context)) : intermediate(x, activation: activation, context)
    return dropout.inner.map { context.dropout(units, probability: $0, offsets: offsets) } ?? units
  }
}
