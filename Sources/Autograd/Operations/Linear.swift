import CKernels
import Tensors

extension Tape {
  /// y = x·Wᵀ + b.
  ///
  /// - Parameters:
  ///   - x: [R, in].
  ///   - weight: [out, in].
  ///   - bias: [out], or nil.
  /// - Returns: [R, out].
  /// On a tape of precision bf16 x, W and, in the backward pass, dy are rounded to bf16; sums, y and all gradients are
  /// float32. Layers below 16 inputs or outputs, such as a classifier's last, stay in float32.
  public func linear(_ x: Variable, weight: Parameter, bias: Parameter?) -> Variable {
    precondition(
      x.value.columns == weight.value.columns && (bias?.count ?? weight.value.rows) == weight.value.rows,
      "linear of \(x.shape) with weight \(weight.shape) and bias \(bias.map { "\($0.shape)" } ?? "none")")
    // By the weight's shape alone: the rows of a rank's batch must not decide how a product is rounded.
    if x.value.dtype == .bfloat16 { return roundedLinear(x, weight: weight, bias: bias) }
    if precision == .bf16, min(weight.value.rows, weight.value.columns) >= 16 {
      return roundedLinear(x, weight: weight, bias: bias)
    }
    let y = Tensor(uninitialized: [x.value.rows, weight.value.rows])
    if hasIndependentRows {
      rowProduct(x.value, weight.value, into: y)
    } else {
      matrixMultiply(x.value, weight.value, transposeB: true, into: y)
    }
    if let bias { rtk_add_bias(y.floats, bias.value.floats, y.rows, y.columns) }
    return record(y, from: [x], LinearOperation(x: x, weight: weight, bias: bias))
  }

  /// f(x·Wᵀ + b), `linear` and then `activation`.
  ///
  /// In inference in bf16 the two are one product, whose output is rounded for the next product to read: it is good
  /// for nothing but another `linear`.
  public func linear(_ x: Variable, weight: Parameter, bias: Parameter?, activation kind: Activation) -> Variable {
    guard !isRecording, precision == .bf16, min(weight.value.rows, weight.value.columns) >= 16,
      !hasIndependentRows || Precision.native == .bf16
    else {
      return activation(kind, linear(x, weight: weight, bias: bias))
    }
    let y = Tensor.bf16(uninitializedRows: x.value.rows, columns: weight.value.rows)
    affineProduct(
      operand(x.value), weights.copy(of: weight), bias: bias?.value, activation: kind.kernel, into: y.withPaddedRows())
    return Variable(constant: y)
  }

  /// The rows of a matrix as a product reads them: rounded, with padding behind them.
  private func operand(_ x: Tensor) -> Tensor { x.dtype == .bfloat16 ? x.withPaddedRows() : x.bf16WithPaddedRows() }

  private func roundedLinear(_ x: Variable, weight: Parameter, bias: Parameter?) -> Variable {
    let (rounded, copy) = (operand(x.value), weights.copy(of: weight))
    let padded = Tensor(uninitialized: [rounded.rows, weight.value.rows])
    if hasIndependentRows && Precision.native != .bf16 {
      rowProduct(rounded, copy, into: padded)
      if let bias { rtk_add_bias(padded.floats, bias.value.floats, padded.rows, padded.columns) }
    } else {
      // oneDNN's own bf16 products treat every row alike, whatever stands beside it.
      affineProduct(rounded, copy, bias: bias?.value, into: padded)
    }
    return record(
      padded.rows(0..<x.value.rows), from: [x],
      RoundedLinearOperation(x: x.place, rounded: rounded, copy: copy, weight: weight, bias: bias))
  }
}

struct LinearOperation: Operation {
  let x: Variable
  let weight: Parameter
  let bias: Parameter?

  var parameters: [Parameter] { bias.map { [weight, $0] } ?? [weight] }

  // dW += dyᵀ·x, db += Σ_r dy, dx = dy·W
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    if let dw = weight.gradient { matrixMultiply(dy, transposeA: true, x.value, into: dw, accumulate: true) }
    if let db = bias?.gradient { rtk_column_sums(db.floats, dy.floats, dy.rows, dy.columns) }
    if gradients.wants(x) {
      let dx = Tensor(uninitialized: x.shape)
      matrixMultiply(dy, weight.value, into: dx)
      gradients.add(dx, to: x)
    }
  }
}

/// The linear layer in bf16: x is kept in the rounded form that the product read, with its rows of zeros.
struct RoundedLinearOperation: Operation {
  let x: VariablePlace
  let rounded: Tensor
  let copy: Tensor
  let weight: Parameter
  let bias: Parameter?

  var parameters: [Parameter] { bias.map { [weight, $0] } ?? [weight] }

  // As above; dy is rounded once for both products. Rows of zeros add nothing to dW and give rows of dx nobody reads.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    if let db = bias?.gradient { rtk_column_sums(db.floats, dy.floats, dy.rows, dy.columns) }
    let wantsInput = gradients.wants(x)
    guard weight.gradient != nil || wantsInput else { return }
    let dyRounded = dy.bf16WithPaddedRows()
    if let dw = weight.gradient { matrixMultiply(dyRounded, transposeA: true, rounded, into: dw, accumulate: true) }
    if wantsInput {
      let dx = Tensor(uninitialized: [dyRounded.rows, rounded.columns])
      matrixMultiply(dyRounded, copy, into: dx)
      gradients.add(dx.rows(0..<dy.rows), to: x)
    }
  }
}
