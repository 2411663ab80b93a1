import Autograd
import Datasets
import Layers
import Models
import Tensors

/// A causal model of one attention layer with a tied head, and documents for it, the same for the same seed.
public final class TinyLanguageModel: LanguageModel {
  static let vocabulary = 20
  let words: Parameter
  let places: Parameter
  let attention: SelfAttention

  /// A model of this hidden size with weights of the seed.
  public init(hidden: Int, seed: UInt64 = 2) {
    words = Parameter("words", .untouchedZeros([TinyLanguageModel.vocabulary, hidden]), decays: true)
    places = Parameter("places", .untouchedZeros([64, hidden]), decays: true)
    attention = SelfAttention(
      "attention", hidden: hidden, heads: 2, headSize: hidden / 2, dropoutProbability: 0)
    initialize(seed: seed)
  }

  public var part: ModelPart { .whole }
  public var layerCount: Int { 1 }
  public var hiddenSize: Int { words.value.columns }
  public var head: Parameter { words }
  public var headRows: Range<Int> { 0..<classCount }
  public var parameters: [Parameter] { [words, places] + attention.parameters }
  public var weightTable: [WeightBinding] { [] }
  public var blocks: [[Parameter]] { [[words, places], attention.parameters, [words]] }
  public var classCount: Int { words.value.rows }

  public func initialize(_ parameter: Parameter, seed: UInt64) {
    guard parameter.decays else { return parameter.value.fill(0) }
    var random = RandomStream(seed: seed, purpose: parameter.name)
    for index in 0..<parameter.count { parameter.value.floats[index] = (random.uniform() - 0.5) * 1.2 }
  }

  public func embed(_ batch: Batch, _ context: ForwardContext) -> Variable {
    context.block(0) { context.tape.embedding(tables: [words, places], ids: [batch.tokens, batch.positions]) }
  }

  public func advance(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable {
    context.block(1, x) { x, context in
      let tape = context.tape
      let options = AttentionOptions(heads: 2, headSize: self.hiddenSize / 2, isCausal: true)
      let mixed = tape.attention(self.attention.projection(x, context), offsets: batch.offsets, options).output
      let dropped = context.dropout(self.attention.output(mixed, context), probability: 0.2, offsets: batch.offsets)
      return tape.activation(.tanh, dropped)
    }
  }

  public func finish(_ x: Variable, _ batch: Batch, _ context: ForwardContext) -> Variable { x }

  public func forward(_ batch: Batch, _ context: ForwardContext) -> ModelOutput {
    ModelOutput(logits: context.tape.linear(states(batch, context), weight: head, bias: nil, wide: true))
  }

  public func forwardFLOPs(lengths: [Int]) -> Double {
    lengths.reduce(0) { $0 + Double(2 * $1 * parameterCount + 2 * $1 * $1 * hiddenSize) }
  }

  /// Documents of 2 to 40 tokens, each token the one before it plus 1, 2 or 3; packed into rows of `rowLength`.
  public static func documents(_ count: Int, rowLength: Int, seed: UInt64 = 1) throws -> PackedDocuments {
    let examples = (0..<count).map { index -> TokenizedExample in
      var random = RandomStream(seed: seed, purpose: "tiny documents", UInt64(index))
      var ids = [Int32(random.below(vocabulary))]
      for _ in 0..<random.below(39) + 1 { ids.append((ids[ids.count - 1] + 1 + Int32(random.below(3))) % 20) }
      return TokenizedExample(ids: ids, label: index % 5 == 4 ? 3 : -1)
    }
    return try PackedDocuments(TokenizedDataset(examples: examples, kind: .languageModeling), rowLength: rowLength)
  }
}
