import Autograd
import Tensors

/// A fully connected layer y = x·Wᵀ + b; W is [out, in] as PyTorch keeps it.
public struct Linear {
  /// W [out, in]; weight decay applies to it.
  public let weight: Parameter
  /// b [out], without weight decay; nil for a layer that adds nothing.
  public let bias: Parameter?

  /// Makes the weights with zeros; a loader or initialiser fills them.
  public init(_ name: String, inputs: Int, outputs: Int, hasBias: Bool = true) {
    weight = Parameter("\(name).weight", .untouchedZeros([outputs, inputs]), decays: true, isFactor: true)
    bias = hasBias ? Parameter("\(name).bias", .untouchedZeros([outputs]), decays: false) : nil
  }

  /// W, then b where there is one.
  public var parameters: [Parameter] { bias.map { [weight, $0] } ?? [weight] }

  /// x·Wᵀ + b, [R, out], for x [R, in].
  public func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.tape.linear(x, weight: weight, bias: bias)
  }

  /// x·Wᵀ + b, [R, out], in float32 whatever the precision of the pass: for logits.
  public func wide(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.tape.linear(x, weight: weight, bias: bias, wide: true)
  }

  /// x·Wᵀ + b, [R, out], summed over the ranks that have a slice of the inputs each: see `ForwardContext.summed`.
  public func summed(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.hasSlices ? context.summed(wide(x, context)).rounded(context) : self(x, context)
  }

  /// f(x·Wᵀ + b), [R, out]: see `Tape.linear`.
  public func callAsFunction(_ x: Variable, activation: Activation, _ context: ForwardContext) -> Variable {
    context.tape.linear(x, weight: weight, bias: bias, activation: activation)
  }
}

extension Variable {
  /// The sum over slices as a pass goes on with it: rounded where a whole layer's output would be.
  public func rounded(_ context: ForwardContext) -> Variable {
    let isRounded = context.hasSlices && context.tape.precision == .bf16 && value.columns >= 16
    return isRounded ? context.tape.converted(self, to: .bfloat16) : self
  }
}
