import Autograd
import Datasets
import Layers
import Platform
import Tensors

/// A causal decoder, or a part of one; `DecoderConfiguration` says what distinguishes the families.
///
/// It is a language model with its own head, and the body of a `DecoderClassifier` without it.
///
/// The residual stream is float32 in every precision; in a bf16 pass the norms round the inputs of the products.
package final class DecoderModel: LanguageModel {
  /// The sizes and traits of the whole model.
  package let configuration: DecoderConfiguration
  package let part: ModelPart
  /// [tokens of this part, hidden], or nil after the first stage.
  let words: Parameter?
  /// [context, hidden], the same on all shards; nil after the first stage and for a family without learned positions.
  let positions: Parameter?
  let layers: [DecoderLayer]
  /// nil before the last stage.
  let norm: DecoderNorm?
  /// nil before the last stage.
  private let ownHead: Parameter?
  let share: DecoderShare

  /// Creates the weights of a part as zeros, except norm scales of 1; `ModelLoader` or `initialize` fills them.
  ///
  /// Throws `.configuration` for more stages than layers or more shards than `DecoderShare` can split.
  package init(_ configuration: DecoderConfiguration, part: ModelPart = .whole) throws {
    if part.stages > max(1, configuration.layerCount) {
      throw RetortError(
        .configuration, "a model with \(configuration.layerCount) layers cannot be cut into \(part.stages) stages",
        remedy: "use at most \(configuration.layerCount) ranks for a stage each, or sharding: tensor")
    }
    self.configuration = configuration
    self.part = part
    let share = try DecoderShare(configuration, part)
    self.share = share
    let hidden = configuration.hiddenSize
    let table =
      part.hasEmbeddings
      ? Parameter("embeddings.words", .untouchedZeros([share.vocabulary.count, hidden]), decays: true) : nil
    words = table
    positions =
      part.hasEmbeddings && configuration.hasLearnedPositions
      ? Parameter("embeddings.positions", .untouchedZeros([configuration.maximumPositions, hidden]), decays: true) : nil
    let tables = configuration.rotaryTables
    layers = part.layers(of: configuration.layerCount).map { DecoderLayer($0, configuration, part, share, tables) }
    norm = part.hasHead ? configuration.newNorm("norm") : nil
    if configuration.classes != nil {
      ownHead = nil
    } else if part.hasHead, !configuration.isTied || table == nil {
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
  package var shape: ModelShape { configuration.shape }

  package var bounds: Batch.Bounds {
    Batch.Bounds(
      vocabulary: configuration.vocabularySize,
      positions: configuration.hasLearnedPositions ? configuration.maximumPositions : nil)
  }

  package var head: Parameter {
    guard let ownHead else { preconditionFailure("the head is in the last stage of \(part)") }
    return ownHead
  }

  /// Whether head and token embeddings are one parameter in this part.
  var sharesTable: Bool { ownHead != nil && ownHead === words }

  package var parameters: [Parameter] {
    embeddings + layers.flatMap(\.parameters) + (norm?.parameters ?? [])
      + (sharesTable ? [] : ownHead.map { [$0] } ?? [])
  }

  private var embeddings: [Parameter] { [words, positions].compactMap { $0 } }

  package var blocks: [[Parameter]] {
    [embeddings] + layers.map(\.parameters) + [(norm?.parameters ?? []) + (ownHead.map { [$0] } ?? [])]
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
        var x = self.embedded(words, ids, batch.positions, context)
        if let p = self.configuration.dropout.embedding {
          x = context.dropout(x, probability: p, offsets: batch.offsets)
        }
        context.observe(.states(0), x)
        return x
      }
    }
  }

  /// The token embeddings, summed over shards, with the family's factor, and the embeddings of positions.
  private func embedded(_ words: Parameter, _ ids: [Int32], _ places: [Int32], _ context: ForwardContext) -> Variable {
    let tape = context.tape
    guard let positions else {
      let x = context.summed(tape.embedding(tables: [words], ids: [ids], wide: true))
      return configuration.embeddingScale == 1 ? x : tape.scaled(x, by: configuration.embeddingScale)
    }
    if part.shards == 1 { return tape.embedding(tables: [words, positions], ids: [ids, places], wide: true) }
    let own = context.summed(tape.embedding(tables: [words], ids: [ids], wide: true))
    return tape.embedding(base: own, tables: [positions], ids: [places], wide: true)
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

  /// The output of the last norm, whose states are the model's last ones.
  func normed(_ x: Variable, _ context: ForwardContext) -> Variable {
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
      Initializer.normal(parameter.value, deviation: deviation(of: parameter), seed: seed, name: parameter.name)
    } else {
      let isScale = parameter.name.hasSuffix("norm.weight") && configuration.norm != .shiftedRMS
      parameter.value.fill(isScale ? 1 : 0)
    }
  }

  private func deviation(of parameter: Parameter) -> Float {
    let isOutput = layers.contains {
      parameter === $0.attention.output.weight || parameter === $0.feedForward.down.weight
    }
    return configuration.scalesInitialOutputs && isOutput
      ? configuration.initializerRange / Float(2 * layerCount).squareRoot() : configuration.initializerRange
  }

  package func forwardFLOPs(lengths: [Int]) -> Double { configuration.forwardFLOPs(lengths: lengths, part, share) }
}
