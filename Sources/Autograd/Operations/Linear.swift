import CKernels
import Tensors

extension Tape {
  /// A weight in the form that products of this pass read: rounded to bf16, or the weight itself.
  package func operand(of weight: Parameter) -> Tensor {
    weight.isRoundedFactor(in: precision) ? weights.copy(of: weight) : weight.value
  }

  /// y = x·Wᵀ + b.
  ///
  /// - Parameters:
  ///   - x: [R, in].
  ///   - weight: [out, in].
  ///   - bias: [out], or nil.
  ///   - wide: whether y has the product's float32 sums in any precision, as logits do.
  /// - Returns: [R, out].
  /// On a tape of precision bf16 x, W, y and, in the backward pass, dy and dx are bf16, each rounded once; the sums of
  /// the products and the gradients of W and b are float32. Layers with fewer than 16 inputs or outputs, such as a
  /// classifier's last, stay in float32, y included.
  package func linear(_ x: Variable, weight: Parameter, bias: Parameter?, wide: Bool = false) -> Variable {
    precondition(
      x.value.columns == weight.value.columns && (bias?.count ?? weight.value.rows) == weight.value.rows,
      "linear of \(x.shape) with weight \(weight.shape) and bias \(bias.map { "\($0.shape)" } ?? "none")")
    if weight.isRoundedFactor(in: precision) { return roundedLinear(x, weight: weight, bias: bias, wide: wide) }
    let input = x.value.converted(to: .float32)
    if reads(weight.value, onceFor: x) { return Variable(constant: vectorProduct(input, weight.value, bias)) }
    let y = Tensor(uninitialized: [input.rows, weight.value.rows])
    if hasIndependentRows {
      weight.value.whileInMemory { rowProduct(input, weight.value, into: y) }
    } else {
      matrixMultiply(input, weight.value, transposeB: true, into: y)
    }
    if let bias { rtk_add_bias(y.floats, bias.value.floats, y.rows, y.columns) }
    return record(
      y, from: [x], LinearOperation(x: x.place, input: x.kept(as: input), weight: weight, bias: bias))
  }

  /// f(x·Wᵀ + b): `linear`, then `activation`; bf16 inference fuses the two.
  package func linear(_ x: Variable, weight: Parameter, bias: Parameter?, activation kind: Activation) -> Variable {
    guard !isRecording, weight.isRoundedFactor(in: precision) else {
      return activation(kind, linear(x, weight: weight, bias: bias))
    }
    return roundedLinear(x, weight: weight, bias: bias, activation: kind.kernel)
  }

  private func roundedLinear(
    _ x: Variable, weight: Parameter, bias: Parameter?, activation: rtk_activation? = nil, wide: Bool = false
  ) -> Variable {
    let copy = weights.copy(of: weight)
    if reads(copy, onceFor: x) {
      let y = vectorProduct(x.value.converted(to: .float32), copy, bias)
      if let activation { rtk_activation_forward(activation, y.floats, y.floats, y.count) }
      return Variable(constant: wide ? y : y.converted(to: .bfloat16))
    }
    let operand = x.value.operand(cleared: isRecording)
    let padded = Tensor(uninitialized: [operand.rows, copy.rows], wide ? .float32 : .bfloat16)
    if hasIndependentRows && Precision.native != .bf16 {
      let sums = wide ? padded : Tensor(uninitialized: padded.shape)
      copy.whileInMemory { rowProduct(operand, copy, into: sums) }
      if let bias { rtk_add_bias(sums.floats, bias.value.floats, sums.rows, sums.columns) }
      if let activation { rtk_activation_forward(activation, sums.floats, sums.floats, sums.count) }
      if !wide { rtk_f32_to_bf16(padded.bf16Words, sums.floats, sums.count) }
    } else {
      // In oneDNN's native bf16 products a row does not depend on the other rows.
      copy.whileInMemory {
        affineProduct(operand, copy, bias: bias?.value, activation: activation, into: padded)
      }
    }
    return record(
      padded.rows(0..<x.value.rows), from: [x],
      RoundedLinearOperation(
        x: x.place, input: weight.isTrained ? x.kept(as: operand) : nil, weights: weights, weight: weight,
        bias: bias))
  }
}

extension Tape {
  /// Whether the product has one row in decoding; its time is then the time of reading the weight.
  private func reads(_ weight: Tensor, onceFor x: Variable) -> Bool {
    isDecoding && x.value.rows == 1 && weight.layout == .rows
  }

  /// x·Wᵀ + b in float32 for x [1, in]; reads the weight once, without conversion.
  private func vectorProduct(_ x: Tensor, _ weight: Tensor, _ bias: Parameter?) -> Tensor {
    let (inputs, y) = (weight.columns, Tensor(uninitialized: [1, weight.rows]))
    weight.whileInMemory {
      ThreadTeam.split(weight.rows, unit: 16, cost: inputs) { part in
        if weight.dtype == .bfloat16 {
          rtk_bf16_matvec(y.floats, x.floats, weight.bf16Words, inputs, part.lowerBound, part.upperBound)
        } else {
          rtk_matvec(y.floats, x.floats, weight.floats, inputs, part.lowerBound, part.upperBound)
        }
      }
    }
    if let bias { rtk_add_bias(y.floats, bias.value.floats, 1, y.columns) }
    return y
  }
}

extension Tensor {
  /// The rows of a matrix in the form that a product reads: bf16, then padding rows, which are zeros if `cleared`.
  fileprivate func operand(cleared: Bool) -> Tensor {
    guard dtype == .bfloat16 else { return bf16WithPaddedRows() }
    return cleared ? withClearedPadding() : withPaddedRows()
  }
}

struct LinearOperation: Operation {
  let x: VariablePlace
  let input: KeptValue
  let weight: Parameter
  let bias: Parameter?

  var parameters: [Parameter] { bias.map { [weight, $0] } ?? [weight] }

  // dW += dyᵀ·x, db += Σ_r dy, dx = dy·W
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    if let (dw, adds) = weight.gradientForSum() {
      matrixMultiply(dy, transposeA: true, input.tensor.converted(to: .float32), into: dw, accumulate: adds)
    }
    if let db = bias?.gradient { rtk_column_sums(db.floats, dy.floats, dy.rows, dy.columns) }
    if gradients.wants(x) {
      let dx = Tensor(uninitialized: x.shape)
      matrixMultiply(dy, weight.value, into: dx)
      gradients.add(dx, to: x)
    }
  }
}

/// The linear layer in bf16.
struct RoundedLinearOperation: Operation {
  let x: VariablePlace
  let input: KeptValue?
  /// The rounded copies; a copy is made again if the block's weights were released in the meantime.
  let weights: BF16Weights
  let weight: Parameter
  let bias: Parameter?

  var parameters: [Parameter] { bias.map { [weight, $0] } ?? [weight] }

  // As above. The padding rows of x and dy are zeros: they add nothing to dW, and their rows of dx are not read.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    if let db = bias?.gradient {
      if dy.dtype == .bfloat16 {
        rtk_bf16_column_sums(db.floats, dy.bf16Words, dy.rows, dy.columns)
      } else {
        rtk_column_sums(db.floats, dy.floats, dy.rows, dy.columns)
      }
    }
    let wantsInput = gradients.wants(x)
    guard weight.isTrained || wantsInput else { return }
    let dyRounded = dy.operand(cleared: true)
    if let input, let (dw, adds) = weight.gradientForSum() {
      matrixMultiply(dyRounded, transposeA: true, input.tensor.operand(cleared: true), into: dw, accumulate: adds)
    }
    if wantsInput {
      let copy = weights.copy(of: weight)
      let dx = Tensor(uninitialized: [dyRounded.rows, copy.columns], .bfloat16)
      matrixMultiply(dyRounded, copy, into: dx)
      gradients.add(dx.rows(0..<dy.rows), to: x)
    }
  }
}
