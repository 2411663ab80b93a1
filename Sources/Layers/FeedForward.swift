import Autograd
import Tensors

/// A feed-forward layer: f(x·Uᵀ)·Dᵀ, or gated (f(x·Gᵀ) ∘ x·Uᵀ)·Dᵀ (Shazeer, 2020), where G and U are one matrix
/// [2·inner, hidden].
package struct FeedForward {
  /// The up projection U, [T, hidden] ↦ [T, inner]; with a gate first G, then U, [T, hidden] ↦ [T, 2·inner].
  package let up: Linear
  /// The down projection D: [T, inner] ↦ [T, hidden].
  package let down: Linear
  /// f.
  package let activation: Activation
  /// Whether there is a gate.
  package let isGated: Bool

  /// Creates the matrices with zeros.
  ///
  /// - Parameters:
  ///   - inner: the inner units of this tensor-parallel shard.
  ///   - hasBias: whether the gate and up projections have a bias.
  ///   - hasOutputBias: whether this shard adds the down projection's bias, which one shard of the group does.
  package init(
    _ name: String, hidden: Int, inner: Int, activation: Activation, isGated: Bool = true, hasBias: Bool = false,
    hasOutputBias: Bool = false
  ) {
    // The names are keys of the initial weights, so they do not follow the properties.
    up = Linear("\(name).widening", inputs: hidden, outputs: (isGated ? 2 : 1) * inner, hasBias: hasBias)
    down = Linear("\(name).narrowing", inputs: inner, outputs: hidden, hasBias: hasOutputBias)
    self.activation = activation
    self.isGated = isGated
  }

  /// The weights of both matrices.
  package var parameters: [Parameter] { up.parameters + down.parameters }

  /// The layer's output in float32, [T, hidden], summed over tensor-parallel shards.
  package func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    let inner =
      isGated ? context.tape.gated(activation, up(x, context)) : up(x, activation: activation, context)
    return context.summed(down.wide(inner, context))
  }
}
