import Autograd
import Tensors

/// Root mean square norms of each head of queries and keys, before they are rotated (Henry et al., 2020).
package struct HeadNorm {
  /// γ of the queries, [D]; without weight decay.
  package let query: Parameter
  /// γ of the keys, [D]; without weight decay.
  package let key: Parameter
  /// ε, added to a head's mean square before the square root.
  package let epsilon: Float
  /// What is added to γ: 0 or 1.
  package let offset: Float

  /// Creates scales of 1 for heads of `headSize` elements, named `NAME.query_norm.weight` and `NAME.key_norm.weight`.
  package init(_ name: String, headSize: Int, epsilon: Float, offset: Float = 0) {
    query = Parameter("\(name).query_norm.weight", Tensor(repeating: 1 - offset, [headSize]), decays: false)
    key = Parameter("\(name).key_norm.weight", Tensor(repeating: 1 - offset, [headSize]), decays: false)
    self.epsilon = epsilon
    self.offset = offset
  }

  /// γ of the queries, then of the keys.
  package var parameters: [Parameter] { [query, key] }

  /// The projections with normalised queries and keys, [T, (H + 2·H_kv)·D].
  package func callAsFunction(_ x: Variable, heads: Int, keyValueHeads: Int, _ context: ForwardContext) -> Variable {
    context.tape.headNorm(
      x, heads: heads, keyValueHeads: keyValueHeads, query: query, key: key, offset: offset, epsilon: epsilon)
  }
}
