import Autograd
import Tensors

/// A fully connected layer y = x·Wᵀ + b; W is [out, in] as PyTorch keeps it.
public struct Linear {
  /// W [out, in]; weight decay applies to it.
  public let weight: Parameter
  /// b [out]; without weight decay.
  public let bias: Parameter

  /// Makes the weights with zeros; a loader or initialiser fills them.
  public init(_ name: String, inputs: Int, outputs: Int) {
    weight = Parameter("\(name).weight", .zeros([outputs, inputs]), decays: true)
    bias = Parameter("\(name).bias", .zeros([outputs]), decays: false)
  }

  /// W, then b.
  public var parameters: [Parameter] { [weight, bias] }

  /// x·Wᵀ + b, [R, out], for x [R, in].
  public func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.tape.linear(x, weight: weight, bias: bias)
  }
}

/// Layer normalisation with learned scale γ and shift β (Ba et al., 2016).
public struct LayerNorm {
  /// γ [size], the scale; without weight decay.
  public let gamma: Parameter
  /// β [size], the shift; without weight decay.
  public let beta: Parameter
  /// ε, added to the variance of a row before its root is taken.
  public let epsilon: Float

  /// γ = 1 and β = 0 for rows of `size` elements; named `NAME.weight` and `NAME.bias`.
  public init(_ name: String, size: Int, epsilon: Float) {
    gamma = Parameter("\(name).weight", Tensor(repeating: 1, [size]), decays: false)
    beta = Parameter("\(name).bias", .zeros([size]), decays: false)
    self.epsilon = epsilon
  }

  /// γ, then β.
  public var parameters: [Parameter] { [gamma, beta] }

  /// The norm of x, or of x + residual, [R, size].
  public func callAsFunction(_ x: Variable, residual: Variable? = nil, _ context: ForwardContext) -> Variable {
    context.tape.layerNorm(x, residual: residual, gamma: gamma, beta: beta, epsilon: epsilon)
  }
}

/// Self-attention whose query, key and value projections are one matrix [3·hidden, hidden], then the output projection.
public struct SelfAttention {
  /// Queries, then keys, then values: [T, hidden] ↦ [T, 3·hidden].
  public let projection: Linear
  /// The output projection, [T, hidden] ↦ [T, hidden].
  public let output: Linear
  /// H, of queries and of keys and values alike.
  public let heads: Int
  /// D = hidden / H.
  public let headSize: Int
  /// Dropout on the attention probabilities in training, 0 ..< 1.
  public let dropoutProbability: Float

  /// Makes the projections with zeros; `hidden` is a multiple of `heads`.
  public init(_ name: String, hidden: Int, heads: Int, dropoutProbability: Float) {
    projection = Linear("\(name).projection", inputs: hidden, outputs: 3 * hidden)
    output = Linear("\(name).output", inputs: hidden, outputs: hidden)
    self.heads = heads
    headSize = hidden / heads
    self.dropoutProbability = dropoutProbability
  }

  /// The projection's weights, then the output's.
  public var parameters: [Parameter] { projection.parameters + output.parameters }

  /// The output projection of attention inside each sequence, [T, hidden], and the captured probabilities.
  public func callAsFunction(_ x: Variable, offsets: [Int32], _ context: ForwardContext)
    -> (output: Variable, probabilities: Variable?)
  {
    let options = AttentionOptions(
      heads: heads, headSize: headSize, dropout: context.nextDropout(dropoutProbability))
    let attended = context.tape.attention(
      projection(x, context), offsets: offsets, options, capture: context.capture.contains(.attentions))
    return (output(attended.output, context), attended.probabilities)
  }
}
