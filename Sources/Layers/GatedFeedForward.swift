import Autograd
import Tensors

/// A feed-forward part with a gate, (f(x·Gᵀ) ∘ x·Uᵀ)·Dᵀ (Shazeer, 2020); G and U are one matrix [2·inner, hidden].
public struct GatedFeedForward {
  /// Gates, then ups: [T, hidden] ↦ [T, 2·inner].
  public let widening: Linear
  /// [T, inner] ↦ [T, hidden].
  public let narrowing: Linear
  /// f.
  public let activation: Activation

  /// Makes the matrices with zeros.
  ///
  /// - Parameters:
  ///   - inner: the units that are here, some of all in a slice of a model.
  ///   - hasBias: of gates and ups.
  ///   - hasOutputBias: of the sum over all slices, and so in one of them.
  public init(
    _ name: String, hidden: Int, inner: Int, activation: Activation, hasBias: Bool = false, hasOutputBias: Bool = false
  ) {
    widening = Linear("\(name).widening", inputs: hidden, outputs: 2 * inner, hasBias: hasBias)
    narrowing = Linear("\(name).narrowing", inputs: inner, outputs: hidden, hasBias: hasOutputBias)
    self.activation = activation
  }

  /// The weights of both matrices.
  public var parameters: [Parameter] { widening.parameters + narrowing.parameters }

  /// The part's output in float32, [T, hidden], summed over slices.
  public func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.summed(narrowing.wide(context.tape.gated(activation, widening(x, context)), context))
  }
}
