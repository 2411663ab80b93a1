import CKernels
import Tensors

extension Tape {
  /// y = γ · (s − mean(s)) / √(var(s) + ε) + β with s = dropout(x) + residual, row by row.
  ///
  /// - Parameters:
  ///   - x: [R, C].
  ///   - dropout: of x, or nil.
  ///   - residual: [R, C], or nil for nothing to add.
  ///   - gamma: [C].
  ///   - beta: [C].
  ///   - epsilon: added to the (biased) variance, > 0.
  /// On a tape of precision bf16 everything but mean, deviation, γ, β and their gradients is bf16 in memory, and one
  /// pass over it computes all of this; the backward pass recomputes y if it needs it.
  package func layerNorm(
    _ x: Variable, dropout: DropoutMask? = nil, residual: Variable? = nil, gamma: Parameter, beta: Parameter,
    epsilon: Float
  ) -> Variable {
    precondition(
      gamma.count == x.value.columns && beta.count == gamma.count, "layer norm of \(x.shape) with γ \(gamma.shape)")
    precondition(
      residual.map { $0.value.count == x.value.count } ?? true, "residual \(residual?.shape ?? []) for \(x.shape)")
    if precision == .bf16 {
      return roundedLayerNorm(x, dropout: dropout, residual: residual, gamma: gamma, beta: beta, epsilon: epsilon)
    }
    return exactLayerNorm(
      dropout.map { self.dropout(x, $0) } ?? x, residual: residual, gamma: gamma, beta: beta, epsilon: epsilon)
  }

  private func exactLayerNorm(_ x: Variable, residual: Variable?, gamma: Parameter, beta: Parameter, epsilon: Float)
    -> Variable
  {
    let (rows, columns) = (x.value.rows, x.value.columns)
    let y = Tensor(uninitialized: x.shape)
    let statistics = Tensor(uninitialized: [2, rows])
    let (mean, rstd) = (statistics.floats, statistics.floats + rows)
    var sum = x.value
    if let residual {
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

  private func roundedLayerNorm(
    _ x: Variable, dropout: DropoutMask?, residual: Variable?, gamma: Parameter, beta: Parameter, epsilon: Float
  ) -> Variable {
    let (rows, columns) = (x.value.rows, x.value.columns)
    let (input, added) = (x.value.converted(to: .bfloat16), residual?.value.converted(to: .bfloat16))
    let y = Tensor.bf16(uninitializedRows: rows, columns: columns)
    let statistics = Tensor(uninitialized: [2, rows])
    let (mean, rstd) = (statistics.floats, statistics.floats + rows)
    // The backward pass needs s; in inference it stays in the CPU's cache and is not rounded.
    let isSum = isRecording && (dropout != nil || residual != nil)
    let sum = isSum ? Tensor.bf16(uninitializedRows: rows, columns: columns) : input
    let (scale, shift) = (lasting(gamma), lasting(beta))
    ThreadTeam.split(rows, cost: 2 * columns) { part in
      let (r, at) = (part.lowerBound, part.lowerBound * columns)
      withOptionalMask(dropout, from: r) { mask in
        rtk_bf16_layer_norm_forward(
          y.bf16Words + at, isSum ? sum.bf16Words + at : nil, mean + r, rstd + r, input.bf16Words + at, mask,
          added.map { $0.bf16Words + at }, scale.floats, shift.floats, part.count, columns, epsilon)
      }
    }
    return record(
      y, from: [x] + (residual.map { [$0] } ?? []),
      recompute: {
        let y = Tensor.bf16(uninitializedRows: rows, columns: columns)
        ThreadTeam.split(rows, cost: columns) { part in
          let (r, at) = (part.lowerBound, part.lowerBound * columns)
          rtk_bf16_layer_norm_recompute(
            y.bf16Words + at, sum.bf16Words + at, statistics.floats + r, statistics.floats + rows + r, scale.floats,
            shift.floats, part.count, columns)
        }
        return y
      },
      RoundedLayerNormOperation(
        x: x.place, dropout: dropout, residual: residual?.place, sum: sum, statistics: statistics, gamma: gamma,
        beta: beta))
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

/// The norm in bf16, which keeps s and recomputes y from it.
struct RoundedLayerNormOperation: Operation {
  let x: VariablePlace
  let dropout: DropoutMask?
  let residual: VariablePlace?
  let sum: Tensor
  let statistics: Tensor
  let gamma: Parameter
  let beta: Parameter

  var parameters: [Parameter] { [gamma, beta] }

  // As above; dx = dropout(ds) in the same pass.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let (rows, columns) = (sum.rows, sum.columns)
    let ds = Tensor.bf16(uninitializedRows: rows, columns: columns)
    let dx = dropout.map { _ in Tensor.bf16(uninitializedRows: rows, columns: columns) }
    withOptionalMask(dropout) { mask in
      rtk_bf16_layer_norm_backward(
        ds.bf16Words, dx?.bf16Words, gamma.gradient?.floats, beta.gradient?.floats, dy.bf16Words, sum.bf16Words,
        statistics.floats, statistics.floats + rows, gamma.value.floats, mask, rows, columns)
    }
    gradients.add(dx ?? ds, to: x, owned: dx != nil || residual == nil)
    if let residual { gradients.add(ds, to: residual, owned: dx != nil) }
  }
}

/// Calls `body` with the kernel's form of the mask for the rows from `first` on, or null without dropout.
private func withOptionalMask(
  _ mask: DropoutMask?, from first: Int = 0, _ body: (UnsafePointer<rtk_dropout_mask>?) -> Void
) {
  guard let mask else { return body(nil) }
  mask.offsets.withUnsafeBufferPointer { offsets in
    mask.keys.withUnsafeBufferPointer { keys in
      var kernel = rtk_dropout_mask(
        offsets: offsets.baseAddress, keys: keys.baseAddress, B: offsets.count - 1, p: mask.probability,
        first: first)
      body(&kernel)
    }
  }
}
