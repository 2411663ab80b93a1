import CKernels
import COpenBLAS

/// C = A·B (+ C): row-major matrix multiply, float32 on OpenBLAS or bf16 with float32 sums on oneDNN.
///
/// - Parameters:
///   - a: [m, k], or [k, m] with `transposeA`; float32 or bf16.
///   - b: [k, n], or [n, k] with `transposeB`; of the same type.
///   - c: [m, n], float32, overwritten, or added to with `accumulate`; for bf16 operands also bf16, overwritten.
/// Tensors of rank above 2 count as [rows, columns]. Mismatched shapes are a precondition failure. On a CPU for
/// which oneDNN has no bf16 product, bf16 operands are widened to float32: slower, and equal up to rounding of sums.
package func matrixMultiply(
  _ a: Tensor, transposeA: Bool = false, _ b: Tensor, transposeB: Bool = false, into c: Tensor,
  accumulate: Bool = false
) {
  let (m, k) = transposeA ? (a.columns, a.rows) : (a.rows, a.columns)
  let (k2, n) = transposeB ? (b.columns, b.rows) : (b.rows, b.columns)
  precondition(
    k == k2 && c.rows == m && c.columns == n && a.dtype == b.dtype
      && (c.dtype == .float32 || c.dtype == a.dtype && !accumulate),
    "matrix multiply of \(a.dtype.rawValue) \(a.shape)\(transposeA ? "ᵀ" : "") and \(b.dtype.rawValue) \(b.shape)"
      + "\(transposeB ? "ᵀ" : "") into \(c.dtype.rawValue) \(c.shape)")
  if m == 0 || n == 0 { return }
  if k == 0 {
    if !accumulate { c.clear() }
    return
  }
  if a.dtype == .bfloat16 {
    if BF16Products.multiply(
      a, transposeA: transposeA, b, transposeB: transposeB, into: c, accumulate: accumulate)
    {
      return
    }
    let wide = c.dtype == .float32 ? c : Tensor(uninitialized: c.shape)
    matrixMultiply(
      a.float32(), transposeA: transposeA, b.float32(), transposeB: transposeB, into: wide, accumulate: accumulate)
    if c.dtype == .bfloat16 { rtk_f32_to_bf16(c.bf16Words, wide.floats, wide.count) }
    return
  }
  LinearAlgebraLibrary.openBLASIsAlone
  // Each thread computes some rows of C, or some columns if C has more of them, with at least a million
  // multiplications.
  let byRows = m >= n
  let (from, by, to) = (a.floats, b.floats, c.floats)
  ThreadTeam.split(max(m, n), unit: 16, cost: max(1, min(m, n) * k >> 5)) { part in
    let (rows, columns) = byRows ? (part, 0..<n) : (0..<m, part)
    cblas_sgemm(
      CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
      numericCast(rows.count), numericCast(columns.count), numericCast(k), 1,
      from + rows.lowerBound * (transposeA ? 1 : k), numericCast(a.columns),
      by + columns.lowerBound * (transposeB ? k : 1), numericCast(b.columns), accumulate ? 1 : 0,
      to + rows.lowerBound * n + columns.lowerBound, numericCast(n))
  }
}

/// Y = f(X·Wᵀ + b) for bf16 X and W, with bias and f fused into the product.
///
/// - Parameters:
///   - x: [m, k], bf16.
///   - w: [n, k], bf16.
///   - bias: [n], float32, or nil.
///   - activation: f, or nil for none.
///   - y: [m, n], float32, or bf16: rounded once, after f.
/// Mismatched shapes are a precondition failure.
package func affineProduct(
  _ x: Tensor, _ w: Tensor, bias: Tensor?, activation: rtk_activation? = nil, into y: Tensor
) {
  precondition(
    x.columns == w.columns && y.rows == x.rows && y.columns == w.rows && (bias?.count ?? w.rows) == w.rows
      && w.columns > 0,
    "product of \(x.shape) and \(w.shape)ᵀ with bias \(bias.map { "\($0.shape)" } ?? "none") into \(y.shape)")
  if y.count == 0 { return }
  if BF16Products.multiply(
    x, transposeA: false, w, transposeB: true, into: y, accumulate: false, bias: bias, activation: activation)
  {
    return
  }
  let wide = y.dtype == .float32 ? y : Tensor(uninitialized: y.shape)
  matrixMultiply(x.float32(), w.float32(), transposeB: true, into: wide)
  if let bias { rtk_add_bias(wide.floats, bias.floats, wide.rows, wide.columns) }
  if let activation { rtk_activation_forward(activation, wide.floats, wide.floats, wide.count) }
  if y.dtype == .bfloat16 { rtk_f32_to_bf16(y.bf16Words, wide.floats, wide.count) }
}
