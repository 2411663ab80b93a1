import Autograd
import Layers

/// One layer: norm, attention, add, norm, feed-forward, add; some families normalise again before they add.
struct DecoderLayer {
  /// Its index in the whole model, from 0.
  let number: Int
  let attentionNorm: DecoderNorm
  let attention: CausalAttention
  /// nil for a family that adds the output of attention as it is.
  let postAttentionNorm: DecoderNorm?
  let feedForwardNorm: DecoderNorm
  let feedForward: FeedForward
  /// nil for a family that adds the output of the feed-forward layer as it is.
  let postFeedForwardNorm: DecoderNorm?
  /// Dropout of what is added to the residual stream; nil for a family without it.
  private let dropout: Float?

  /// - Parameter tables: the rotary angles of each kind of scaling.
  init(
    _ number: Int, _ configuration: DecoderConfiguration, _ part: ModelPart, _ share: DecoderShare,
    _ tables: [RotaryScaling: RotaryTable]
  ) {
    self.number = number
    dropout = configuration.dropout.residual
    let (name, hidden, kind) = ("layers.\(number)", configuration.hiddenSize, configuration.layers[number])
    attentionNorm = configuration.newNorm("\(name).attention.norm")
    attention = CausalAttention(
      "\(name).attention", hidden: hidden, heads: share.heads.count, keyValueHeads: share.keyValueHeads.count,
      headSize: configuration.headSize, rotary: kind.rotary.flatMap { tables[$0] }, window: kind.window,
      scale: kind.scale,
      norm: configuration.newHeadNorm("\(name).attention"), hasBias: configuration.hasProjectionBias,
      hasOutputBias: configuration.hasOutputBias && part.shard == 0, dropout: configuration.dropout.attention)
    postAttentionNorm = configuration.hasPostNorms ? configuration.newNorm("\(name).attention.post_norm") : nil
    feedForwardNorm = configuration.newNorm("\(name).feedforward.norm")
    feedForward = FeedForward(
      "\(name).feedforward", hidden: hidden, inner: share.inner.count, activation: configuration.activation,
      isGated: configuration.isGated, hasBias: configuration.hasFeedForwardBias,
      hasOutputBias: configuration.hasFeedForwardBias && part.shard == 0)
    postFeedForwardNorm = configuration.hasPostNorms ? configuration.newNorm("\(name).feedforward.post_norm") : nil
  }

  /// In the order of their use.
  var parameters: [Parameter] {
    attentionNorm.parameters + attention.parameters + (postAttentionNorm?.parameters ?? [])
      + feedForwardNorm.parameters + feedForward.parameters + (postFeedForwardNorm?.parameters ?? [])
  }

  /// The residual stream after the layer, [T, hidden], in float32.
  func callAsFunction(
    _ x: Variable, at places: TokenPlaces, after cache: KVCache?, _ context: ForwardContext
  ) -> Variable {
    var attended = attention(attentionNorm(x, context), layer: number + 1, at: places, after: cache, context)
    if let postAttentionNorm { attended = postAttentionNorm.wide(attended, context) }
    if let dropout { attended = context.dropout(attended, probability: dropout, offsets: places.offsets) }
    let middle = feedForwardNorm(attended, residual: x, context)
    var fed = feedForward(middle.output, context)
    if let postFeedForwardNorm { fed = postFeedForwardNorm.wide(fed, context) }
    if let dropout { fed = context.dropout(fed, probability: dropout, offsets: places.offsets) }
    return context.tape.add(middle.sum, fed)
  }
}
