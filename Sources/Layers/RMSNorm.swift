import Autograd
import Tensors

/// Root mean square normalisation with a learned scale γ (Zhang and Sennrich, 2019).
package struct RMSNorm {
  /// γ [size], the scale; without weight decay.
  package let gamma: Parameter
  /// ε, added to a row's mean square before the square root.
  package let epsilon: Float
  /// What is added to γ: 0 or 1.
  package let offset: Float

  /// Creates a scale of 1 for rows of `size` elements; γ is named `NAME.weight`.
  package init(_ name: String, size: Int, epsilon: Float, offset: Float = 0) {
    gamma = Parameter("\(name).weight", Tensor(repeating: 1 - offset, [size]), decays: false)
    self.epsilon = epsilon
    self.offset = offset
  }

  /// γ.
  package var parameters: [Parameter] { [gamma] }

  /// The norm of x, [R, size].
  package func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.tape.rmsNorm(x, gamma: gamma, offset: offset, epsilon: epsilon).output
  }

  /// The norm of x in float32 in every precision, [R, size].
  package func wide(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.tape.rmsNorm(x, gamma: gamma, offset: offset, epsilon: epsilon, wide: true).output
  }

  /// x + residual in float32, and the norm of that, each [R, size].
  package func callAsFunction(_ x: Variable, residual: Variable, _ context: ForwardContext) -> (
    sum: Variable, output: Variable
  ) {
    context.tape.rmsNorm(x, residual: residual, gamma: gamma, offset: offset, epsilon: epsilon)
  }
}
