import Autograd
import Tensors

/// A fully connected layer y = x·Wᵀ + b; W is [out, in] as in PyTorch.
package struct Linear {
  /// W [out, in]; weight decay applies to it.
  package let weight: Parameter
  /// b [out], without weight decay, or nil.
  package let bias: Parameter?

  /// Creates the weights with zeros; a loader or initialiser fills them.
  package init(_ name: String, inputs: Int, outputs: Int, hasBias: Bool = true) {
    weight = Parameter("\(name).weight", .untouchedZeros([outputs, inputs]), decays: true, isFactor: true)
    bias = hasBias ? Parameter("\(name).bias", .untouchedZeros([outputs]), decays: false) : nil
  }

  /// W, then b if there is one.
  package var parameters: [Parameter] { bias.map { [weight, $0] } ?? [weight] }

  /// x·Wᵀ + b, [R, out], for x [R, in].
  package func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.tape.linear(x, weight: weight, bias: bias)
  }

  /// x·Wᵀ + b, [R, out], in float32 in every precision: for logits.
  package func wide(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.tape.linear(x, weight: weight, bias: bias, wide: true)
  }

  /// x·Wᵀ + b, [R, out], summed over the tensor-parallel shards; each shard has some of the inputs: see
  /// `ForwardContext.summed`.
  package func summed(_ x: Variable, _ context: ForwardContext) -> Variable {
    context.hasSlices ? context.summed(wide(x, context)).rounded(context) : self(x, context)
  }

  /// f(x·Wᵀ + b), [R, out]: see `Tape.linear`.
  package func callAsFunction(_ x: Variable, activation: Activation, _ context: ForwardContext) -> Variable {
    context.tape.linear(x, weight: weight, bias: bias, activation: activation)
  }
}

extension Variable {
  /// The sum over tensor-parallel shards in the number format that an unsharded layer outputs: bf16 in a bf16 pass with
  /// at least 16 columns, else float32.
  package func rounded(_ context: ForwardContext) -> Variable {
    let isRounded = context.hasSlices && context.tape.precision == .bf16 && value.columns >= 16
    return isRounded ? context.tape.converted(self, to: .bfloat16) : self
  }
}
