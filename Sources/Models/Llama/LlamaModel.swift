import Autograd
import Datasets
import Layers
import Platform
import Tensors

/// A causal decoder of the Llama kind, or a part of one: `LlamaForCausalLM` and the families that differ from it only
/// in biases and defaults.
///
/// The residual stream is float32 in every precision; in a bf16 pass the norms round the inputs of the products.
package final class LlamaModel: LanguageModel {
  /// The sizes of the whole model.
  package let configuration: LlamaConfiguration
  package let part: ModelPart
  /// [tokens of this part, hidden], or nil after the first stage.
  let words: Parameter?
  let layers: [LlamaLayer]
  /// nil before the last stage.
  let norm: RMSNorm?
  /// nil before the last stage.
  private let ownHead: Parameter?
  let share: LlamaShare

  /// Creates the weights of a part as zeros, except norm scales of 1; `ModelLoader` or `initialize` fills them.
  ///
  /// Throws `.configuration` for more stages than layers or more shards than `LlamaShare` can split.
  package init(_ configuration: LlamaConfiguration, part: ModelPart = .whole) throws {
    if part.stages > max(1, configuration.layerCount) {
      throw RetortError(
        .configuration, "a model with \(configuration.layerCount) layers cannot be cut into \(part.stages) stages",
        remedy: "use at most \(configuration.layerCount) ranks for a stage each, or sharding: tensor")
    }
    self.configuration = configuration
    self.part = part
    let share = try LlamaShare(configuration, part)
    self.share = share
    let hidden = configuration.hiddenSize
    let rotary = RotaryTable(frequencies: configuration.rotary.frequencies(headSize: configuration.headSize))
    let table =
      part.hasEmbeddings
      ? Parameter("embeddings.words", .untouchedZeros([share.vocabulary.count, hidden]), decays: true) : nil
    words = table
    layers = part.layers(of: configuration.layerCount).map { LlamaLayer($0, configuration, part, share, rotary) }
    norm = part.hasHead ? RMSNorm("norm", size: hidden, epsilon: configuration.normEpsilon) : nil
    if part.hasHead, !configuration.isTied || table == nil {
      ownHead = Parameter(
        "head.weight", .untouchedZeros([share.vocabulary.count, hidden]), decays: true, isFactor: true)
    } else {
      ownHead = part.hasHead ? table : nil
    }
  }

  package var classCount: Int { configuration.vocabularySize }
  package var layerCount: Int { configuration.layerCount }
  package var hiddenSize: Int { configuration.hiddenSize }
  package var headRows: Range<Int> { share.vocabulary }
  package var shape: ModelShape {
    ModelShape(
      layers: layerCount, hidden: hiddenSize, heads: configuration.headCount,
      keyValueHeads: configuration.keyValueHeadCount, headSize: configuration.headSize, isCausal: true,
      hasPooler: false)
  }

  package var bounds: Batch.Bounds { Batch.Bounds(vocabulary: configuration.vocabularySize) }

  package var head: Parameter {
    guard let ownHead else { preconditionFailure("the head is in the last stage of \(part)") }
    return ownHead
  }

  /// Whether head and token embeddings are one parameter in this part.
  var sharesTable: Bool { ownHead != nil && ownHead === words }

  package var parameters: [Parameter] {
    (words.map { [$0] } ?? []) + layers.flatMap(\.parameters) + (norm?.parameters ?? [])
      + (sharesTable ? [] : ownHead.map { [$0] } ?? [])
  }

  package var blocks: [[Parameter]] {
    [words.map { [$0] } ?? []] + layers.map(\.parameters) + [(norm?.parameters ?? []) + (ownHead.map { [$0] } ?? [])]
  }

  /// The token embeddings, unless they are also the head, whose gradient is dense.
  package var lookups: [LookupTable] {
    guard let words, !sharesTable else { return [] }
    return [LookupTable(parameter: words, ids: \.tokens)]
  }

  package func embed(_ batch: Batch, _ context: ForwardContext) -> Variable {
    guard let words else { preconditionFailure("the embeddings are in the first stage, not in \(part)") }
    return context.block(0) {
      Trace.detail("embeddings") {
        let (first, count) = (Int32(share.vocabulary.lowerBound), Int32(share.vocabulary.count))
        // A shard without a token's row contributes zeros to the sum.
        let ids = batch.tokens.map { (0..<count).contains($0 - first) ? $0 - first : -1 }
        let x = context.summed(context.tape.embedding(tables: [words], ids: [ids], wide: true))
        context.observe(.states(0), x)
        return x
      }
    }
  }

  package func advance(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    advance(x, batch, context, after: nil)
  }

  /// The public `advance`, with a KV cache.
  ///
  /// - Parameter cache: each layer's KV cache of the tokens before the batch; nil if sequences begin in the batch.
  private func advance(
    _ x: Variable, _ batch: Batch, _ context: ForwardContext, after cache: [KVCache]?
  ) -> Variable {
    let places = TokenPlaces(offsets: batch.offsets, positions: batch.positions)
    var x = x
    for (index, layer) in layers.enumerated() {
      x = context.block(index + 1, x) { x, context in
        Trace.detail("layers", layer.number) {
          let x = layer(x, at: places, after: cache?[index], context)
          // The last states are the output of the final norm.
          if layer.number + 1 < self.layerCount { context.observe(.states(layer.number + 1), x) }
          return x
        }
      }
    }
    return x
  }

  package func finish(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    context.block(layers.count + 1, x) { x, context in self.normed(x, context) }
  }

  private func normed(_ x: Variable, _ context: ForwardContext) -> Variable {
    guard let norm else { preconditionFailure("the last norm is in the last stage, not in \(part)") }
    let states = norm(x, context)
    context.observe(.states(layerCount), states)
    return states
  }

  /// The block that computes the value at a point: the last states are the output of the final norm.
  package func block(of point: PassPoint) -> Int {
    switch point {
    case .states(let layer): layer == layerCount ? blocks.count - 1 : layer
    case .projections(let layer): layer
    case .pooled: blocks.count - 1
    }
  }

  package func newCaches(capacity: Int) -> [KVCache] { layers.map { $0.attention.cache(capacity: capacity) } }

  package func states(of tokens: [Int32], after cache: [KVCache], _ context: ForwardContext) -> Variable {
    var batch = Batch()
    let first = Int32(cache.first?.count ?? 0)
    batch.tokens = tokens
    batch.positions = tokens.indices.map { first + Int32($0) }
    batch.offsets = [0, Int32(tokens.count)]
    return finish(advance(embed(batch, context), batch, context, after: cache), batch, context)
  }

  /// The logits of all tokens, [T, V] (on a shard [T, its share of V]), in float32.
  package func forward(_ batch: Batch, _ context: ForwardContext) -> Variable {
    let x = advance(embed(batch, context), batch, context)
    return context.block(layers.count + 1, x) { x, context in self.headLogits(self.normed(x, context), context) }
  }

  /// Draws matrices from N(0, `initializer_range`²); sets norm scales to 1 and biases to 0.
  package func initialize(_ parameter: Parameter, seed: UInt64) {
    if parameter.decays {
      Initializer.normal(
        parameter.value, deviation: configuration.initializerRange, seed: seed, name: parameter.name)
    } else {
      parameter.value.fill(parameter.name.hasSuffix("norm.weight") ? 1 : 0)
    }
  }

  /// FLOPs of a forward pass over T tokens in sequences of lengths S, with hidden size h, H query and K key/value heads
  /// of size D, I inner units and a vocabulary of V tokens:
  ///
  ///     L · (T·2·h·(H + 2K)·D                Q, K and V projections
  ///       + Σ 4·H·D·S·(S + 1)/2              scores and weighted sums of values, over causal pairs only
  ///       + T·2·H·D·h + T·6·h·I)             output projection, feed-forward
  ///       + T·2·h·V                          the head, for every token
  ///
  /// A part counts its own layers, heads, units and tokens.
  package func forwardFLOPs(lengths: [Int]) -> Double {
    let hidden = Double(hiddenSize)
    let tokens = Double(lengths.reduce(0, +))
    let pairs = lengths.reduce(0.0) { $0 + Double($1) * Double($1 + 1) / 2 }
    let queries = Double(share.heads.count * configuration.headSize)
    let keys = Double(share.keyValueHeads.count * configuration.headSize)
    let products = 2 * hidden * (queries + 2 * keys) + 2 * queries * hidden + 6 * hidden * Double(share.inner.count)
    let head = part.hasHead ? tokens * 2 * hidden * Double(share.vocabulary.count) : 0
    return Double(layers.count) * (tokens * products + 4 * queries * pairs) + head
  }
}

/// One layer: norm, attention, add, norm, feed-forward, add.
struct LlamaLayer {
  /// Its index in the whole model, from 0.
  let number: Int
  let attentionNorm: RMSNorm
  let attention: RotaryAttention
  let feedForwardNorm: RMSNorm
  let feedForward: GatedFeedForward

  init(
    _ number: Int, _ configuration: LlamaConfiguration, _ part: ModelPart, _ share: LlamaShare, _ rotary: RotaryTable
  ) {
    self.number = number
    let (name, hidden) = ("layers.\(number)", configuration.hiddenSize)
    attentionNorm = RMSNorm("\(name).attention.norm", size: hidden, epsilon: configuration.normEpsilon)
    attention = RotaryAttention(
      "\(name).attention", hidden: hidden, heads: share.heads.count, keyValueHeads: share.keyValueHeads.count,
      rotary: rotary, hasBias: configuration.hasProjectionBias,
      hasOutputBias: configuration.hasOutputBias && part.shard == 0)
    feedForwardNorm = RMSNorm("\(name).feedforward.norm", size: hidden, epsilon: configuration.normEpsilon)
    feedForward = GatedFeedForward(
      "\(name).feedforward", hidden: hidden, inner: share.inner.count, activation: configuration.activation,
      hasBias: configuration.hasFeedForwardBias, hasOutputBias: configuration.hasFeedForwardBias && part.shard == 0)
  }

  var parameters: [Parameter] {
    attentionNorm.parameters + attention.parameters + feedForwardNorm.parameters + feedForward.parameters
  }

  /// The residual stream after the layer, [T, hidden], in float32.
  func callAsFunction(
    _ x: Variable, at places: TokenPlaces, after cache: KVCache?, _ context: ForwardContext
  ) -> Variable {
    let attended = attention(attentionNorm(x, context), layer: number + 1, at: places, after: cache, context)
    let middle = feedForwardNorm(attended, residual: x, context)
    return context.tape.add(middle.sum, feedForward(middle.output, context))
  }
}
