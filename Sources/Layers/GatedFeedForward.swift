import Autograd
import Tensors

/// A gated feed-forward layer, (f(x·Gᵀ) ∘ x·Uᵀ)·Dᵀ (Shazeer, 2020); G and U are one matrix [2·inner, hidden].
package struct GatedFeedForward {
  /// The gate projection G, then the up projection U: [T, hidden] ↦ [T, 2·inner].
  package let gateUp: Linear
  /// The down projection D: [T, inner] ↦ [T, hidden].
  package let down: Linear
  /// f.
  package let activation: Activation

  /// Creates the matrices with zeros.
  ///
  /// - Parameters:
  ///   - inner: the inner units of this tensor-parallel shard.
  ///   - hasBias: whether the gate and up projections have a bias.
  ///   - hasOutputBias: whether this shard adds the down projection's bias, which one shard of the group does.
  package init(
    _ name: String, hidden: Int, inner: Int, activation: Activation, hasBias: Bool = false, hasOutputBias: Bool = false
  ) {
    // The names are keys of the initial weights, so they do not follow the properties.
    gateUp = Linear("\(name).widening", inputs: hidden, outputs: 2 * inner, hasBias: hasBias)
    down = Linear("\(name).narrowing", inputs: inner, outputs: hidden, hasBias: hasOutputBias)
    self.activation = activation
  }

  /// The weights of both matrices.
  package var parameters: [Parameter] { gateUp.parameters + down.parameters }

  /// The layer's output in float32, [T, hidden], summed over tensor-parallel shards.
  package func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.summed(down.wide(context.tape.gated(activation, gateUp(x, context)), context))
  }
}
