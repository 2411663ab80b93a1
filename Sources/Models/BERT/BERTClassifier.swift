import Autograd
import Datasets
import Layers
import Platform
import Tensors

/// BERT with a pooler and a linear classifier on the first token: `BertForSequenceClassification`.
///
/// The same class is `bert_hash`, whose word embedding is narrow and widened by a linear layer.
public final class BERTClassifier: Model {
  /// The sizes that the weights have.
  public let configuration: BERTConfiguration
  let words: Parameter
  let wordProjection: Linear?
  let positions: Parameter
  let types: Parameter
  let embeddingNorm: LayerNorm
  let layers: [BERTLayer]
  let pooler: Linear
  let classifier: Linear

  /// Makes the weights, zeros but for the norms' scales of 1; `ModelLoader` or `initialize` fills them.
  public init(_ configuration: BERTConfiguration) {
    self.configuration = configuration
    let hidden = configuration.hiddenSize
    func table(_ name: String, _ rows: Int, _ columns: Int) -> Parameter {
      Parameter("embeddings.\(name)", .untouchedZeros([rows, columns]), decays: true)
    }
    words = table("words", configuration.vocabularySize, configuration.projections ?? hidden)
    wordProjection = configuration.projections.map { Linear("embeddings.projection", inputs: $0, outputs: hidden) }
    positions = table("positions", configuration.maximumPositions, hidden)
    types = table("types", configuration.tokenTypes, hidden)
    embeddingNorm = LayerNorm("embeddings.norm", size: hidden, epsilon: configuration.layerNormEpsilon)
    layers = (0..<configuration.layerCount).map { BERTLayer("layers.\($0)", configuration) }
    pooler = Linear("pooler", inputs: hidden, outputs: hidden)
    classifier = Linear("classifier", inputs: hidden, outputs: configuration.classCount)
  }

  public var classCount: Int { configuration.classCount }

  public var parameters: [Parameter] {
    [words] + (wordProjection?.parameters ?? []) + [positions, types] + embeddingNorm.parameters
      + layers.flatMap(\.parameters) + pooler.parameters + classifier.parameters
  }

  public var blocks: [[Parameter]] {
    [[words] + (wordProjection?.parameters ?? []) + [positions, types] + embeddingNorm.parameters]
      + layers.map(\.parameters) + [pooler.parameters + classifier.parameters]
  }

  /// The words; a batch has most of the positions and types anyway.
  public var lookups: [LookupTable] { [LookupTable(parameter: words, ids: \.tokens)] }

  public func forward(_ batch: Batch, _ context: ForwardContext) -> ModelOutput {
    let tape = context.tape
    var captured: [Variable] = []
    var attentions: [Variable] = []
    var x = context.block(0) { Trace.detail("embeddings") { embed(batch, context) } }
    x = context.dropout(x, probability: configuration.hiddenDropout, offsets: batch.offsets)
    if context.capture.contains(.hiddenStates) { captured.append(x) }
    let first = FirstTokens(of: batch)
    for (index, layer) in layers.enumerated() {
      // Only the first tokens of the last layer are read, unless somebody wants to see all of it.
      let isSeen = index < layers.count - 1 || context.capture.contains(.hiddenStates)
      x = context.block(index + 1, x) { x, context in
        Trace.detail("layers", index) {
          let output = layer(x, offsets: batch.offsets, only: isSeen ? nil : first, context)
          if let probabilities = output.probabilities { attentions.append(probabilities) }
          return output.hidden
        }
      }
      if context.capture.contains(.hiddenStates) { captured.append(x) }
    }
    if layers.isEmpty || context.capture.contains(.hiddenStates) { x = tape.selectRows(x, first.rows) }
    let logits = context.block(layers.count + 1, x) { x, context in
      let pooled = context.tape.activation(.tanh, self.pooler(x, context))
      let dropped = context.dropout(
        pooled, probability: self.configuration.classifierDropout, offsets: first.offsets)
      return self.classifier.wide(dropped, context)
    }
    var output = ModelOutput(logits: logits)
    output.hiddenStates = captured
    output.attentions = attentions
    return output
  }

  private func embed(_ batch: Batch, _ context: ForwardContext) -> Variable {
    let tape = context.tape
    let rest = [positions, types]
    let sum: Variable
    if let wordProjection {
      let narrow = tape.embedding(tables: [words], ids: [batch.tokens])
      sum = tape.embedding(
        base: wordProjection(narrow, context), tables: rest, ids: [batch.positions, batch.typeIDs])
    } else {
      sum = tape.embedding(tables: [words] + rest, ids: [batch.tokens, batch.positions, batch.typeIDs])
    }
    return embeddingNorm(sum, context)
  }

  /// `initializer_range`; but the layer that widens a narrow word embedding keeps its size, since words of a
  /// twentieth of the positions' size would not be seen for epochs.
  private func deviation(of parameter: Parameter) -> Float {
    guard let projections = configuration.projections, parameter === wordProjection?.weight else {
      return configuration.initializerRange
    }
    return 1 / Float(projections).squareRoot()
  }

  public func initialize(_ parameter: Parameter, seed: UInt64) {
    if parameter.decays {
      Initializer.normal(parameter.value, deviation: deviation(of: parameter), seed: seed, name: parameter.name)
    } else {
      parameter.value.fill(parameter.name.hasSuffix("norm.weight") ? 1 : 0)
    }
  }
}

/// One transformer layer in the order of BERT: attention, add, norm, feed-forward, add, norm.
struct BERTLayer {
  let attention: SelfAttention
  let attentionNorm: LayerNorm
  let intermediate: Linear
  let output: Linear
  let outputNorm: LayerNorm
  let activation: Activation
  let hiddenDropout: Float

  init(_ name: String, _ configuration: BERTConfiguration) {
    let hidden = configuration.hiddenSize
    attention = SelfAttention(
      "\(name).attention", hidden: hidden, heads: configuration.headCount,
      dropoutProbability: configuration.attentionDropout)
    attentionNorm = LayerNorm("\(name).attention.norm", size: hidden, epsilon: configuration.layerNormEpsilon)
    intermediate = Linear("\(name).intermediate", inputs: hidden, outputs: configuration.intermediateSize)
    output = Linear("\(name).output", inputs: configuration.intermediateSize, outputs: hidden)
    outputNorm = LayerNorm("\(name).output.norm", size: hidden, epsilon: configuration.layerNormEpsilon)
    activation = configuration.activation
    hiddenDropout = configuration.hiddenDropout
  }

  var parameters: [Parameter] {
    attention.parameters + attentionNorm.parameters + intermediate.parameters + output.parameters
      + outputNorm.parameters
  }

  /// The states after the layer, of all tokens or of the first ones only: behind attention no token reads another.
  func callAsFunction(_ x: Variable, offsets: [Int32], only first: FirstTokens? = nil, _ context: ForwardContext)
    -> (hidden: Variable, probabilities: Variable?)
  {
    let attended = attention(x, offsets: offsets, rows: first?.rows, context)
    // A sequence's first row has the same mask when it stands alone.
    let ranges = first?.offsets ?? offsets
    let middle = attentionNorm(
      attended.output, dropout: context.nextMask(hiddenDropout, offsets: ranges),
      residual: first.map { context.tape.selectRows(x, $0.rows) } ?? x, context)
    let narrow = output(intermediate(middle, activation: activation, context), context)
    let hidden = outputNorm(
      narrow, dropout: context.nextMask(hiddenDropout, offsets: ranges), residual: middle, context)
    return (hidden, attended.probabilities)
  }
}

/// The first token of each sequence of a batch, which is what a classifier reads.
struct FirstTokens {
  /// Their rows among all tokens.
  let rows: [Int32]
  /// 0 ... B: when only they are left, each sequence has one row.
  let offsets: [Int32]

  init(of batch: Batch) {
    rows = Array(batch.offsets.dropLast())
    offsets = (0...Int32(batch.count)).map { $0 }
  }
}
