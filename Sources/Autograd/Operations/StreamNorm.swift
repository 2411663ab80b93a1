import CKernels
import Tensors

extension Tape {
  /// y = γ · (s − mean(s)) / √(var(s) + ε) + β with s = x + residual, row by row, on a float32 residual stream (Ba et
  /// al., 2016).
  ///
  /// - Parameters:
  ///   - x: [R, C], float32.
  ///   - residual: [R, C], float32, or nil.
  ///   - gamma: [C].
  ///   - beta: [C], or nil for no shift.
  ///   - epsilon: added to the (biased) variance, > 0.
  ///   - wide: whether y is float32 in any precision.
  /// - Returns: s, float32, which is x itself without a residual; and y, bf16 on a tape of that precision, unless
  ///   C < 16. The backward pass recomputes y if it needs it.
  package func streamNorm(
    _ x: Variable, residual: Variable? = nil, gamma: Parameter, beta: Parameter?, epsilon: Float, wide: Bool = false
  ) -> (sum: Variable, output: Variable) {
    let (rows, columns) = (x.value.rows, x.value.columns)
    precondition(
      gamma.count == columns && beta.map { $0.count == columns } ?? true
        && residual.map { $0.value.count == x.value.count } ?? true,
      "norm of \(x.shape) and \(residual.map { "\($0.shape)" } ?? "nothing") with γ \(gamma.shape)")
    let format: DType = precision == .bf16 && columns >= 16 && !wide ? .bfloat16 : .float32
    let statistics = Tensor(uninitialized: [2, rows])
    let (mean, rstd) = (statistics.floats, statistics.floats + rows)
    let sum = residual == nil ? x.value : Tensor(uninitialized: x.shape)
    let y = Tensor.matrix(uninitializedRows: rows, columns: columns, format)
    let (input, added, scale, shift) = (x.value, residual?.value, lasting(gamma), beta.map(lasting))
    ThreadTeam.split(rows, cost: 2 * columns) { part in
      let (r, at, count) = (part.lowerBound, part.lowerBound * columns, part.count)
      let (from, plus, to) = (input.floats + at, added.map { $0.floats + at }, added.map { _ in sum.floats + at })
      if format == .bfloat16 {
        rtk_bf16_stream_norm_forward(
          y.bf16Words + at, to, mean + r, rstd + r, from, plus, scale.floats, shift?.floats, count, columns, epsilon)
      } else {
        rtk_stream_norm_forward(
          y.floats + at, to, mean + r, rstd + r, from, plus, scale.floats, shift?.floats, count, columns, epsilon)
      }
    }
    let stream = residual.map { record(sum, from: [x, $0], AddOperation(a: x.place, b: $0.place)) } ?? x
    let recompute: @Sendable () -> Tensor = { StreamNormOperation.output(sum, statistics, scale, shift, format) }
    return (
      stream,
      record(
        y, from: [stream], recompute: recompute,
        StreamNormOperation(x: stream.place, sum: sum, statistics: statistics, gamma: gamma, beta: beta))
    )
  }
}

struct StreamNormOperation: Operation {
  let x: VariablePlace
  let sum: Tensor
  /// [2, R]: means, then 1 / √(var + ε).
  let statistics: Tensor
  let gamma: Parameter
  let beta: Parameter?

  var parameters: [Parameter] { beta.map { [gamma, $0] } ?? [gamma] }

  /// The gradients of γ and β are summed per so many rows, so the number of threads does not change the order of a sum.
  private static let block = 128

  /// The y of the forward pass.
  static func output(_ sum: Tensor, _ statistics: Tensor, _ scale: Tensor, _ shift: Tensor?, _ format: DType) -> Tensor
  {
    let (rows, columns) = (sum.rows, sum.columns)
    let (mean, rstd) = (statistics.floats, statistics.floats + rows)
    let y = Tensor.matrix(uninitializedRows: rows, columns: columns, format)
    ThreadTeam.split(rows, cost: 2 * columns) { part in
      let (r, at) = (part.lowerBound, part.lowerBound * columns)
      if format == .bfloat16 {
        rtk_bf16_stream_norm_recompute(
          y.bf16Words + at, sum.floats + at, mean + r, rstd + r, scale.floats, shift?.floats, part.count, columns)
      } else {
        rtk_stream_norm_recompute(
          y.floats + at, sum.floats + at, mean + r, rstd + r, scale.floats, shift?.floats, part.count, columns)
      }
    }
    return y
  }

  // With x̂ = (s − mean)·rstd and g = γ·dy: ds += rstd·(g − mean(g) − x̂·mean(g·x̂)), dγ += Σ dy·x̂, dβ += Σ dy.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let (rows, columns) = (sum.rows, sum.columns)
    let (mean, rstd) = (statistics.floats, statistics.floats + rows)
    let sofar = gradients.takeForSum(x)
    let ds = sofar ?? Tensor(uninitialized: sum.shape)
    let blocks = (rows + StreamNormOperation.block - 1) / StreamNormOperation.block
    func parts(_ gradient: Tensor?) -> Tensor? { gradient.map { _ in Tensor.zeros([blocks + 1, columns]) } }
    let (scales, shifts) = (parts(gamma.gradient), parts(beta?.gradient))
    ThreadTeam.split(blocks, cost: 4 * columns * StreamNormOperation.block) { range in
      for block in range {
        let r = block * StreamNormOperation.block
        let (at, count) = (r * columns, min(StreamNormOperation.block, rows - r))
        let dgamma = scales.map { $0.floats + (block + 1) * columns }
        let dbeta = shifts.map { $0.floats + (block + 1) * columns }
        if dy.dtype == .bfloat16 {
          rtk_bf16_stream_norm_backward(
            ds.floats + at, dgamma, dbeta, dy.bf16Words + at, sum.floats + at, mean + r, rstd + r,
            gamma.value.floats, count, columns, sofar != nil)
        } else {
          rtk_stream_norm_backward(
            ds.floats + at, dgamma, dbeta, dy.floats + at, sum.floats + at, mean + r, rstd + r, gamma.value.floats,
            count, columns, sofar != nil)
        }
      }
    }
    for (parts, gradient) in [(scales, gamma.gradient), (shifts, beta?.gradient)] {
      guard let parts, let gradient else { continue }
      // The previous gradient is the first term.
      parts.rows(0..<1).update(from: gradient)
      rtk_sum_parts(gradient.floats, parts.floats, blocks + 1, columns, columns)
    }
    gradients.add(ds, to: x)
  }
}
