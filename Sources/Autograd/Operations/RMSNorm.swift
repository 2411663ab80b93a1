import CKernels
import Tensors

extension Tape {
  /// y = γ · s / √(mean(s²) + ε) with s = x + residual, row by row (Zhang and Sennrich, 2019).
  ///
  /// - Parameters:
  ///   - x: [R, C], float32.
  ///   - residual: [R, C], float32, or nil.
  ///   - gamma: [C].
  ///   - offset: a number added to γ.
  ///   - epsilon: added to the mean square, > 0.
  ///   - wide: whether y is float32 in any precision.
  /// - Returns: s, float32, which is x itself without a residual; and y, bf16 on a tape of that precision, unless
  ///   it is wide or C < 16. The backward pass recomputes y if it needs it.
  package func rmsNorm(
    _ x: Variable, residual: Variable? = nil, gamma: Parameter, offset: Float = 0, epsilon: Float, wide: Bool = false
  )
    -> (sum: Variable, output: Variable)
  {
    let (rows, columns) = (x.value.rows, x.value.columns)
    precondition(
      gamma.count == columns && residual.map { $0.value.count == x.value.count } ?? true,
      "RMS norm of \(x.shape) and \(residual.map { "\($0.shape)" } ?? "nothing") with γ \(gamma.shape)")
    let format: DType = precision == .bf16 && columns >= 16 && !wide ? .bfloat16 : .float32
    let rstd = Tensor(uninitialized: [rows])
    let sum = residual == nil ? x.value : Tensor(uninitialized: x.shape)
    let y = Tensor.matrix(uninitializedRows: rows, columns: columns, format)
    let (input, added, scale) = (x.value, residual?.value, lasting(gamma).plus(offset))
    ThreadTeam.split(rows, cost: 2 * columns) { part in
      let (r, at, count) = (part.lowerBound, part.lowerBound * columns, part.count)
      let (from, plus, to) = (input.floats + at, added.map { $0.floats + at }, added.map { _ in sum.floats + at })
      if format == .bfloat16 {
        rtk_bf16_rms_norm_forward(
          y.bf16Words + at, to, rstd.floats + r, from, plus, scale.floats, count, columns, epsilon)
      } else {
        rtk_rms_norm_forward(y.floats + at, to, rstd.floats + r, from, plus, scale.floats, count, columns, epsilon)
      }
    }
    let stream = residual.map { record(sum, from: [x, $0], AddOperation(a: x.place, b: $0.place)) } ?? x
    let recompute: @Sendable () -> Tensor = { RMSNormOperation.output(sum, rstd, scale, format) }
    return (
      stream,
      record(
        y, from: [stream], recompute: recompute,
        RMSNormOperation(x: stream.place, sum: sum, rstd: rstd, gamma: gamma, offset: offset))
    )
  }

  /// a + b in float32, of float32 matrices of one shape.
  package func add(_ a: Variable, _ b: Variable) -> Variable {
    precondition(a.shape == b.shape, "sum of \(a.shape) and \(b.shape)")
    let sum = Tensor(uninitialized: a.shape)
    let (first, second) = (a.value.floats, b.value.floats)
    ThreadTeam.split(sum.count, unit: 64, cost: 3) { part in
      let at = part.lowerBound
      rtk_add(sum.floats + at, first + at, second + at, part.count)
    }
    return record(sum, from: [a, b], AddOperation(a: a.place, b: b.place))
  }
}

struct AddOperation: Operation {
  let a: VariablePlace
  let b: VariablePlace

  // da = db = ds
  func backward(_ ds: Tensor, _ gradients: inout Gradients) {
    gradients.add(ds, to: a, owned: false)
    gradients.add(ds, to: b, owned: false)
  }
}

struct RMSNormOperation: Operation {
  let x: VariablePlace
  let sum: Tensor
  /// [R].
  let rstd: Tensor
  let gamma: Parameter
  let offset: Float

  var parameters: [Parameter] { [gamma] }

  /// The gradient of γ is summed per so many rows, so the number of threads does not change the order of a sum.
  private static let block = 128

  /// The y of the forward pass.
  static func output(_ sum: Tensor, _ rstd: Tensor, _ scale: Tensor, _ format: DType) -> Tensor {
    let (rows, columns) = (sum.rows, sum.columns)
    let y = Tensor.matrix(uninitializedRows: rows, columns: columns, format)
    ThreadTeam.split(rows, cost: 2 * columns) { part in
      let (r, at) = (part.lowerBound, part.lowerBound * columns)
      if format == .bfloat16 {
        rtk_bf16_rms_norm_recompute(
          y.bf16Words + at, sum.floats + at, rstd.floats + r, scale.floats, part.count, columns)
      } else {
        rtk_rms_norm_recompute(y.floats + at, sum.floats + at, rstd.floats + r, scale.floats, part.count, columns)
      }
    }
    return y
  }

  // With x̂ = s·rstd and g = γ·dy: ds += rstd·(g − x̂·mean(g·x̂)), dγ += Σ dy·x̂.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    let (rows, columns) = (sum.rows, sum.columns)
    let sofar = gradients.takeForSum(x)
    let ds = sofar ?? Tensor(uninitialized: sum.shape)
    let blocks = (rows + RMSNormOperation.block - 1) / RMSNormOperation.block
    let scale = gamma.value.plus(offset)
    let parts = gamma.gradient.map { _ in Tensor.zeros([blocks + 1, columns]) }
    ThreadTeam.split(blocks, cost: 4 * columns * RMSNormOperation.block) { range in
      for block in range {
        let r = block * RMSNormOperation.block
        let (at, count) = (r * columns, min(RMSNormOperation.block, rows - r))
        let dgamma = parts.map { $0.floats + (block + 1) * columns }
        if dy.dtype == .bfloat16 {
          rtk_bf16_rms_norm_backward(
            ds.floats + at, dgamma, dy.bf16Words + at, sum.floats + at, rstd.floats + r, scale.floats, count,
            columns, sofar != nil)
        } else {
          rtk_rms_norm_backward(
            ds.floats + at, dgamma, dy.floats + at, sum.floats + at, rstd.floats + r, scale.floats, count,
            columns, sofar != nil)
        }
      }
    }
    if let parts, let dgamma = gamma.gradient {
      // The previous gradient is the first term.
      parts.rows(0..<1).update(from: dgamma)
      rtk_sum_parts(dgamma.floats, parts.floats, blocks + 1, columns, columns)
    }
    gradients.add(ds, to: x)
  }
}

extension Tensor {
  /// The elements plus a number; the tensor itself for 0.
  func plus(_ offset: Float) -> Tensor {
    if offset == 0 { return self }
    let sum = Tensor(uninitialized: shape)
    for index in 0..<count { sum.floats[index] = floats[index] + offset }
    return sum
  }
}
