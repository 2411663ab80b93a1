import Autograd
import Tensors

/// Self-attention whose query, key and value projections are one matrix [3·hidden, hidden], then the output projection.
package struct SelfAttention {
  /// Queries, then keys, then values: [T, hidden] ↦ [T, 3·H·D].
  package let projection: Linear
  /// The output projection, [T, H·D] ↦ [T, hidden].
  package let output: Linear
  /// H, for queries, keys and values.
  package let heads: Int
  /// D.
  package let headSize: Int
  /// Dropout on the attention probabilities in training, 0 ..< 1.
  package let dropoutProbability: Float

  /// Creates the projections with zeros.
  ///
  /// - Parameter headSize: by default hidden / heads; given for a tensor-parallel shard, which has only some heads.
  package init(_ name: String, hidden: Int, heads: Int, headSize: Int? = nil, dropoutProbability: Float) {
    let headSize = headSize ?? hidden / heads
    projection = Linear("\(name).projection", inputs: hidden, outputs: 3 * heads * headSize)
    output = Linear("\(name).output", inputs: heads * headSize, outputs: hidden)
    self.heads = heads
    self.headSize = headSize
    self.dropoutProbability = dropoutProbability
  }

  /// The projection's weights, then the output's.
  package var parameters: [Parameter] { projection.parameters + output.parameters }

  /// The output projection of attention within each sequence, [T, hidden].
  ///
  /// - Parameters:
  ///   - layer: the number of the layer in the whole model, counted from 1.
  ///   - rows: the rows of the output to compute, or nil for all of them.
  package func callAsFunction(
    _ x: Variable, layer: Int, offsets: [Int32], rows: [Int32]? = nil, _ context: ForwardContext
  ) -> Variable {
    let options = AttentionOptions(
      heads: heads, headSize: headSize, dropout: context.nextDropout(dropoutProbability))
    let projected = projection(x, context)
    context.observe(.projections(layer), projected)
    let attended = context.tape.attention(projected, offsets: offsets, options)
    return output.summed(rows.map { context.tape.selectRows(attended, $0) } ?? attended, context)
  }
}
