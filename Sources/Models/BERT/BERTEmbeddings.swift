import Autograd
import Datasets
import Layers
import Platform
import Tensors

/// BERT's token, position and type embeddings, summed and normalised; or a tensor-parallel shard of their rows.
struct BERTEmbeddings {
  let words: Parameter
  /// Projects the narrow token embeddings of `bert_hash` to the hidden size; replicated in each shard.
  let projection: Linear?
  let positions: Parameter
  /// Filled on shard 0 only.
  let types: Parameter
  let norm: LayerNorm
  private let part: ModelPart
  private let configuration: BERTConfiguration

  init(_ configuration: BERTConfiguration, _ part: ModelPart) {
    self.part = part
    self.configuration = configuration
    let hidden = configuration.hiddenSize
    func table(_ name: String, _ rows: Int, _ columns: Int) -> Parameter {
      // A shard's last row is zeros, read for ids whose rows are on other shards.
      let count = part.shards == 1 ? rows : part.share(of: rows).count + 1
      return Parameter("embeddings.\(name)", .untouchedZeros([count, columns]), decays: true)
    }
    words = table("words", configuration.vocabularySize, configuration.projections ?? hidden)
    projection = configuration.projections.map { Linear("embeddings.projection", inputs: $0, outputs: hidden) }
    positions = table("positions", configuration.maximumPositions, hidden)
    types = Parameter("embeddings.types", .untouchedZeros([configuration.tokenTypes, hidden]), decays: true)
    norm = LayerNorm("embeddings.norm", size: hidden, epsilon: configuration.layerNormEpsilon)
  }

  var parameters: [Parameter] { [words] + (projection?.parameters ?? []) + [positions, types] + norm.parameters }

  /// The rows of the checkpoint's table that this shard holds.
  var wordRows: Range<Int> { part.share(of: configuration.vocabularySize) }
  var positionRows: Range<Int> { part.share(of: configuration.maximumPositions) }

  func callAsFunction(_ batch: Batch, _ context: ForwardContext) -> Variable {
    let tape = context.tape
    let words = places(of: batch.tokens, in: wordRows)
    let positions = places(of: batch.positions, in: positionRows)
    let sum: Variable
    if let projection {
      let narrow = context.summed(
        tape.embedding(tables: [self.words], ids: [words], wide: context.hasSlices)
      ).rounded(context)
      let wide = projection(narrow, context)
      sum = tape.embedding(
        base: part.shard == 0 ? wide : nil, tables: [self.positions, types], ids: [positions, batch.typeIDs],
        wide: context.hasSlices)
    } else {
      sum = tape.embedding(
        tables: [self.words, self.positions, types], ids: [words, positions, batch.typeIDs], wide: context.hasSlices)
    }
    return norm(context.summed(sum).rounded(context), context)
  }

  /// Row numbers within the shard; the row of zeros for ids on other shards.
  private func places(of ids: [Int32], in rows: Range<Int>) -> [Int32] {
    if part.shards == 1 { return ids }
    return ids.map { rows.contains(Int($0)) ? $0 - Int32(rows.lowerBound) : Int32(rows.count) }
  }
}
