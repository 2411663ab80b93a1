import Autograd
import Tensors

/// Root mean square normalisation with a learned scale γ (Zhang and Sennrich, 2019).
package struct RMSNorm {
  /// γ [size], the scale; without weight decay.
  package let gamma: Parameter
  /// ε, added to a row's mean square before the square root.
  package let epsilon: Float

  /// Creates γ = 1 for rows of `size` elements, named `NAME.weight`.
  package init(_ name: String, size: Int, epsilon: Float) {
    gamma = Parameter("\(name).weight", Tensor(repeating: 1, [size]), decays: false)
    self.epsilon = epsilon
  }

  /// γ.
  package var parameters: [Parameter] { [gamma] }

  /// The norm of x, [R, size].
  package func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.tape.rmsNorm(x, gamma: gamma, epsilon: epsilon).output
  }

  /// x + residual in float32, and the norm of that, each [R, size].
  package func callAsFunction(_ x: Variable, residual: Variable, _ context: ForwardContext) -> (
    sum: Variable, output: Variable
  ) {
    context.tape.rmsNorm(x, residual: residual, gamma: gamma, epsilon: epsilon)
  }
}
