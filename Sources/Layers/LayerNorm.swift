import Autograd
import Tensors

/// Layer normalisation with learned scale γ and shift β (Ba et al., 2016).
package struct LayerNorm {
  /// γ [size], the scale; without weight decay.
  package let gamma: Parameter
  /// β [size], the shift; without weight decay.
  package let beta: Parameter
  /// ε, added to a row's variance before the square root.
  package let epsilon: Float

  /// Creates γ = 1 and β = 0 for rows of `size` elements, named `NAME.weight` and `NAME.bias`.
  package init(_ name: String, size: Int, epsilon: Float) {
    gamma = Parameter("\(name).weight", Tensor(repeating: 1, [size]), decays: false)
    beta = Parameter("\(name).bias", .zeros([size]), decays: false)
    self.epsilon = epsilon
  }

  /// γ, then β.
  package var parameters: [Parameter] { [gamma, beta] }

  /// The norm of x, or of dropout(x) + residual, [R, size].
  package func callAsFunction(
    _ x: Variable, dropout: DropoutMask? = nil, residual: Variable? = nil, _ context: ForwardContext
  ) -> Variable {
    context.tape.layerNorm(x, dropout: dropout, residual: residual, gamma: gamma, beta: beta, epsilon: epsilon)
  }

  /// The norm of x, float32, in float32 in every precision, [R, size].
  package func wide(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.tape.layerNorm(x, gamma: gamma, beta: beta, epsilon: epsilon, wide: true)
  }
}
