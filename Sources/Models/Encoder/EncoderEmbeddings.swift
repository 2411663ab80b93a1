import Autograd
import Datasets
import Layers
import Platform
import Tensors

/// An encoder's token, position and type embeddings, summed and normalised; or a tensor-parallel shard of their rows.
struct EncoderEmbeddings {
  let words: Parameter
  /// The projection of narrow embeddings; replicated in each shard.
  let projection: Linear?
  /// Nil for a family whose attention has rotary positions.
  let positions: Parameter?
  /// Filled on shard 0 only; nil for a family without token types.
  let types: Parameter?
  let norm: LayerNorm
  private let part: ModelPart
  private let configuration: EncoderConfiguration

  init(_ configuration: EncoderConfiguration, _ part: ModelPart) {
    self.part = part
    self.configuration = configuration
    let width = configuration.tableWidth
    func table(_ name: String, _ rows: Int, _ columns: Int) -> Parameter {
      // A shard's last row is zeros, read for ids whose rows are on other shards.
      let count = part.shards == 1 ? rows : part.share(of: rows).count + 1
      return Parameter("embeddings.\(name)", .untouchedZeros([count, columns]), decays: true)
    }
    words = table("words", configuration.vocabularySize, configuration.embedding.size ?? width)
    projection = configuration.embedding.size.map {
      Linear("embeddings.projection", inputs: $0, outputs: configuration.hiddenSize)
    }
    positions = configuration.positionRows == 0 ? nil : table("positions", configuration.positionRows, width)
    types =
      configuration.tokenTypes == 0
      ? nil : Parameter("embeddings.types", .untouchedZeros([configuration.tokenTypes, width]), decays: true)
    norm = LayerNorm(
      "embeddings.norm", size: width, epsilon: configuration.layerNormEpsilon,
      hasBias: configuration.body.hasNormBias)
  }

  /// In the order of their use.
  var parameters: [Parameter] {
    let own = projection?.parameters ?? []
    let tables = [positions, types].compactMap { $0 }
    if case .projectedSum = configuration.embedding { return [words] + tables + norm.parameters + own }
    return [words] + own + tables + norm.parameters
  }

  /// The rows of the checkpoint's table that this shard holds.
  var wordRows: Range<Int> { part.share(of: configuration.vocabularySize) }
  var positionRows: Range<Int> { part.share(of: configuration.positionRows) }

  /// The states that enter the first layer, [T, hidden], after dropout.
  func callAsFunction(_ batch: Batch, _ context: ForwardContext) -> Variable {
    let tape = context.tape
    let words = places(of: batch.tokens, in: wordRows)
    var tables: [Parameter] = []
    var ids: [[Int32]] = []
    if let positions {
      tables.append(positions)
      ids.append(places(of: rows(of: batch), in: positionRows))
    }
    if let types {
      tables.append(types)
      ids.append(batch.typeIDs)
    }
    let sum: Variable
    if case .projectedWords = configuration.embedding, let projection {
      let narrow = context.summed(
        tape.embedding(tables: [self.words], ids: [words], wide: context.hasSlices)
      ).rounded(context)
      let wide = projection(narrow, context)
      sum = tape.embedding(base: part.shard == 0 ? wide : nil, tables: tables, ids: ids, wide: context.hasSlices)
    } else {
      let isWide = context.hasSlices || configuration.body.isStream
      sum = tape.embedding(tables: [self.words] + tables, ids: [words] + ids, wide: isWide)
    }
    let normed =
      configuration.body.isStream
      ? norm.stream(context.summed(sum), wide: true, context).output
      : norm(context.summed(sum).rounded(context), context)
    let states = context.dropout(normed, probability: configuration.dropout.embedding, offsets: batch.offsets)
    if case .projectedSum = configuration.embedding, let projection { return projection(states, context) }
    return states
  }

  /// The rows of the position table: those of the batch, or for a family that counts from its padding token, that
  /// token's row for padding tokens within a sequence and the following rows for the others.
  private func rows(of batch: Batch) -> [Int32] {
    guard let padding = configuration.paddingToken.map(Int32.init) else { return batch.positions }
    var rows = [Int32](repeating: padding, count: batch.tokens.count)
    for (start, end) in zip(batch.offsets, batch.offsets.dropFirst()) {
      var row = padding
      for token in Int(start)..<Int(end) where batch.tokens[token] != padding {
        row += 1
        rows[token] = row
      }
    }
    return rows
  }

  /// Row numbers within the shard; the row of zeros for ids on other shards.
  private func places(of ids: [Int32], in rows: Range<Int>) -> [Int32] {
    if part.shards == 1 { return ids }
    return ids.map { rows.contains(Int($0)) ? $0 - Int32(rows.lowerBound) : Int32(rows.count) }
  }
}
