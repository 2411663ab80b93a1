import Autograd
import Tensors

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
  ///
  /// - Parameter rows: the only rows of the output that are wanted, or nil for all of them.
  public func callAsFunction(_ x: Variable, offsets: [Int32], rows: [Int32]? = nil, _ context: ForwardContext)
    -> (output: Variable, probabilities: Variable?)
  {
    let options = AttentionOptions(
      heads: heads, headSize: headSize, dropout: context.nextDropout(dropoutProbability))
    let attended = context.tape.attention(
      projection(x, context), offsets: offsets, options, capture: context.capture.contains(.attentions))
    let wanted = rows.map { context.tape.selectRows(attended.output, $0) } ?? attended.output
    return (output(wanted, context), attended.probabilities)
  }
}
