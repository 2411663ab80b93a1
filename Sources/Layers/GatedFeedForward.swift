import Autograd
import Tensors

/// A gated feed-forward layer, (f(x·Gᵀ) ∘ x·Uᵀ)·Dᵀ (Shazeer, 2020); G and U are one matrix [2·inner, hidden].
public struct GatedFeedForward {
  /// The gate projection G, then the up projection U: [T, hidden] ↦ [T, 2·inner].
  public let widening: Linear
  /// The down projection D: [T, inner] ↦ [T, hidden].
  public let narrowing: Linear
  /// f.
  public let activation: Activation

  /// Creates the matrices with zeros.
  ///
  /// - Parameters:
  ///   - inner: the inner units of this tensor-parallel shard.
  ///   - hasBias: whether the gate and up projections have a bias.
  ///   - hasOutputBias: whether this shard adds the down projection's bias, which one shard of the group does.
  public init(
    _ name: String, hidden: Int, inner: Int, activation: Activation, hasBias: Bool = false, hasOutputBias: Bool = false
  ) {
    widening = Linear("\(name).widening", inputs: hidden, outputs: 2 * inner, hasBias: hasBias)
    narrowing = Linear("\(name).narrowing", inputs: inner, outputs: hidden, hasBias: hasOutputBias)
    self.activation = activation
  }

  /// The weights of both matrices.
  public var parameters: [Parameter] { widening.parameters + narrowing.parameters }

  /// The layer's output in float32, [T, hidden], summed over tensor-parallel shards.
  public func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.summed(narrowing.wide(context.tape.gated(activation, widening(x, context)), context))
  }
}
