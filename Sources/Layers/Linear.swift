import Autograd
import Tensors

/// A fully connected layer y = x·Wᵀ + b; W is [out, in] as PyTorch keeps it.
public struct Linear {
  public let weight: Parameter
  public let bias: Parameter

  /// Makes the weights with zeros; a loader or initialiser fills them.
  public init(_ name: String, inputs: Int, outputs: Int) {
    weight = Parameter("\(name).weight", .zeros([outputs, inputs]), decays: true)
    bias = Parameter("\(name).bias", .zeros([outputs]), decays: false)
  }

  public var parameters: [Parameter] { [weight, bias] }

  public func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.tape.linear(x, weight: weight, bias: bias)
  }
}

/// Layer normalisation with learned scale γ and shift β (Ba et al., 2016).
public struct LayerNorm {
  public let gamma: Parameter
  public let beta: Parameter
  public let epsilon: Float

  public init(_ name: String, size: Int, epsilon: Float) {
    gamma = Parameter("\(name).weight", Tensor(repeating: 1, [size]), decays: false)
    beta = Parameter("\(name).bias", .zeros([size]), decays: false)
    self.epsilon = epsilon
  }

  public var parameters: [Parameter] { [gamma, beta] }

  /// The norm of x, or of x + residual, [R, size].
  public func callAsFunction(_ x: Variable, residual: Variable? = nil, _ context: ForwardContext) -> Variable {
    context.tape.layerNorm(x, residual: residual, gamma: gamma, beta: beta, epsilon: epsilon)
  }
}

/// Self-attention whose query, key and value projections are one matrix [3·hidden, hidden], then the output projection.
public struct SelfAttention {
  public let projection: Linear
  public let output: Linear
  public let heads: Int
  public let headSize: Int
  public let dropoutProbability: Float

  public init(_ name: String, hidden: Int, heads: Int, dropoutProbability: Float) {
    projection = Linear("\(name).projection", inputs: hidden, outputs: 3 * hidden)
    output = Linear("\(name).output", inputs: hidden, outputs: hidden)
    self.heads = heads
    headSize = hidden / heads
    self.dropoutProbability = dropoutProbability
  }

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
