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
  public func linear(_ x: Variable, weight: Parameter, bias: Parameter?) -> Variable {
    let y = Tensor(uninitialized: [x.value.rows, weight.value.rows])
    matrixMultiply(x.value, weight.value, transposeB: true, into: y)
    if let bias {
      precondition(bias.count == y.columns, "bias \(bias.shape) for an output \(y.shape)")
      rtk_add_bias(y.floats, bias.value.floats, y.rows, y.columns)
    }
    return record(y, from: [x], LinearOperation(x: x, weight: weight, bias: bias))
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
