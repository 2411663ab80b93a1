import Autograd
import Tensors

/// Layer normalisation with learned scale γ and shift β (Ba et al., 2016).
package struct LayerNorm {
  /// γ [size], the scale; without weight decay.
  package let gamma: Parameter
  /// β [size], the shift; without weight decay; nil for a norm without one.
  package let beta: Parameter?
  /// ε, added to a row's variance before the square root.
  package let epsilon: Float

  /// Creates γ = 1 and β = 0 for rows of `size` elements, named `NAME.weight` and `NAME.bias`.
  package init(_ name: String, size: Int, epsilon: Float, hasBias: Bool = true) {
    gamma = Parameter("\(name).weight", Tensor(repeating: 1, [size]), decays: false)
    beta = hasBias ? Parameter("\(name).bias", .zeros([size]), decays: false) : nil
    self.epsilon = epsilon
  }

  /// γ, then β if there is one.
  package var parameters: [Parameter] { beta.map { [gamma, $0] } ?? [gamma] }

  /// The norm of x, or of dropout(x) + residual, [R, size], in the format of the pass.
  package func callAsFunction(
    _ x: Variable, dropout: DropoutMask? = nil, residual: Variable? = nil, _ context: ForwardContext
  ) -> Variable {
    if let beta {
      return context.tape.layerNorm(
        x, dropout: dropout, residual: residual, gamma: gamma, beta: beta, epsilon: epsilon)
    }
    let dropped = dropout.map { context.tape.dropout(x, $0) } ?? x
    let wide = context.tape.converted(dropped, to: .float32)
    return stream(wide, residual: residual.map { context.tape.converted($0, to: .float32) }, context).output
  }

  /// The float32 stream x + residual, and the norm of that in the format of the pass, or `wide` in float32; each
  /// [R, size].
  package func stream(_ x: Variable, residual: Variable? = nil, wide: Bool = false, _ context: ForwardContext) -> (
    sum: Variable, output: Variable
  ) {
    context.tape.streamNorm(x, residual: residual, gamma: gamma, beta: beta, epsilon: epsilon, wide: wide)
  }
}
