import Autograd
import Tensors

/// Self-attention of an encoder, whose query, key and value projections are one matrix [3·hidden, hidden], then the
/// output projection.
package struct SelfAttention {
  /// Queries, then keys, then values: [T, hidden] ↦ [T, 3·H·D].
  package let projection: Linear
  /// The output projection, [T, H·D] ↦ [T, hidden].
  package let output: Linear
  /// H, for queries, keys and values.
  package let heads: Int
  /// D.
  package let headSize: Int
  /// The rotary angles of queries and keys; nil for none.
  package let rotary: RotaryTable?
  /// The distance to the farthest token that a token attends to; nil for no window.
  package let reach: Int?
  /// What is added to the scores by distance; nil for nothing. Other layers may share it.
  package let bias: RelativeBias?
  /// Dropout on the attention probabilities in training, 0 ..< 1.
  package let dropoutProbability: Float

  /// Creates the projections with zeros.
  ///
  /// - Parameters:
  ///   - headSize: by default hidden / heads; given for a tensor-parallel shard, which has only some heads.
  ///   - hasBias: whether the projections have biases.
  package init(
    _ name: String, hidden: Int, heads: Int, headSize: Int? = nil, hasBias: Bool = true, rotary: RotaryTable? = nil,
    reach: Int? = nil, bias: RelativeBias? = nil, dropoutProbability: Float
  ) {
    let headSize = headSize ?? hidden / heads
    projection = Linear("\(name).projection", inputs: hidden, outputs: 3 * heads * headSize, hasBias: hasBias)
    output = Linear("\(name).output", inputs: heads * headSize, outputs: hidden, hasBias: hasBias)
    self.heads = heads
    self.headSize = headSize
    self.rotary = rotary
    self.reach = reach
    self.bias = bias
    self.dropoutProbability = dropoutProbability
  }

  /// The bias by distance, the projection's weights, then the output's.
  package var parameters: [Parameter] {
    (bias.map { [$0.table] } ?? []) + projection.parameters + output.parameters
  }

  /// The output projection of attention within each sequence, [T, hidden], summed over tensor-parallel shards.
  ///
  /// - Parameters:
  ///   - layer: the number of the layer in the whole model, counted from 1.
  ///   - rows: the rows of the output to compute, or nil for all of them.
  ///   - wide: whether the output is float32 in any precision, for a residual stream.
  package func callAsFunction(
    _ x: Variable, layer: Int, at places: TokenPlaces, rows: [Int32]? = nil, wide: Bool = false,
    _ context: ForwardContext
  ) -> Variable {
    let options = AttentionOptions(
      heads: heads, headSize: headSize, reach: reach, dropout: context.nextDropout(dropoutProbability))
    var projected = projection(x, context)
    if let rotary {
      projected = context.tape.rotary(projected, heads: 2 * heads, positions: places.positions, rotary)
    }
    context.observe(.projections(layer), projected)
    let attended = context.tape.attention(projected, offsets: places.offsets, options, bias: bias)
    let chosen = rows.map { context.tape.selectRows(attended, $0) } ?? attended
    return wide ? context.summed(output.wide(chosen, context)) : output.summed(chosen, context)
  }
}
