import CKernels
import Tensors

extension Tape {
  /// y = γ · (s − mean(s)) / √(var(s) + ε) + β with s = x + residual, row by row.
  ///
  /// - Parameters:
  ///   - x: [R, C].
  ///   - residual: [R, C], or nil for s = x.
  ///   - gamma: [C].
  ///   - beta: [C].
  ///   - epsilon: added to the (biased) variance, > 0.
  public func layerNorm(_ x: Variable, residual: Variable? = nil, gamma: Parameter, beta: Parameter, epsilon: Float)
    -> Variable
  {
    let (rows, columns) = (x.value.rows, x.value.columns)
    precondition(gamma.count == columns && beta.count == columns, "layer norm of \(x.shape) with γ \(gamma.shape)")
    let y = Tensor(uninitialized: x.shape)
    let statistics = Tensor(uninitialized: [2, rows])
    let (mean, rstd) = (statistics.floats, statistics.floats + rows)
    var sum = x.value
    if let residual {
      precondition(residual.value.count == x.value.count, "residual \(residual.shape) for \(x.shape)")
      sum = Tensor(uninitialized: x.shape)
      rtk_add_layer_norm_forward(
        y.floats, sum.floats, mean, rstd, x.value.floats, residual.value.floats, gamma.value.floats,
        beta.value.floats, rows, columns, epsilon)
    } else {
      rtk_layer_norm_forward(
        y.floats, mean, rstd, x.value.floats, gamma.value.floats, beta.value.floats, rows, columns, epsilon)
    }
    return record(
      y, from: [x] + (residual.map { [$0] } ?? []),
      LayerNormOperation(
        x: x.place, residual: residual?.place, sum: sum, statistics: statistics, gamma: gamma, beta: beta))
  }
}

struct LayerNormOperation: Operation {
  let x: VariablePlace
  let residual: VariablePlace?
  let sum: Tensor
  let statistics: Tensor
  let gamma: Parameter
  let beta: Parameter

  var parameters: [Parameter] { [gamma, beta] }

  // With x̂ = (s − mean)·rstd: ds = rstd·(γdy − mean(γdy) − x̂·mean(γdy·x̂)); dγ += Σ dy·x̂; dβ += Σ dy.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let rows = sum.rows
    let ds = Tensor(uninitialized: sum.shape)
    rtk_layer_norm_backward(
      ds.floats, gamma.gradient?.floats, beta.gradient?.floats, dy.floats, sum.floats, statistics.floats,
      statistics.floats + rows, gamma.value.floats, rows, sum.columns)
    if let residual {
      gradients.add(ds, to: x, owned: false)
      gradients.add(ds, to: residual, owned: false)
    } else {
      gradients.add(ds, to: x)
    }
  }
}
