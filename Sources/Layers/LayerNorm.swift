import Autograd
import Tensors

/// Layer normalisation with learned scale γ and shift β (Ba et al., 2016).
public struct LayerNorm {
  /// γ [size], the scale; without weight decay.
  public let gamma: Parameter
  /// β [size], the shift; without weight decay.
  public let beta: Parameter
  /// ε, added to a row's variance before the square root.
  public let epsilon: Float

  /// Creates γ = 1 and β = 0 for rows of `size` elements, named `NAME.weight` and `NAME.bias`.
  public init(_ name: String, size: Int, epsilon: Float) {
    gamma = Parameter("\(name).weight", Tensor(repeating: 1, [size]), decays: false)
    beta = Parameter("\(name).bias", .zeros([size]), decays: false)
    self.epsilon = epsilon
  }

  /// γ, then β.
  public var parameters: [Parameter] { [gamma, beta] }

  /// The norm of x, or of dropout(x) + residual, [R, size].
  public func callAsFunction(
    _ x: Variable, dropout: DropoutMask? = nil, residual: Variable? = nil, _ context: ForwardContext
  ) -> Variable {
    context.tape.layerNorm(x, dropout: dropout, residual: residual, gamma: gamma, beta: beta, epsilon: epsilon)
  }
}
