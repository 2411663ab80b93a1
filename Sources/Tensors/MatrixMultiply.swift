import COpenBLAS

/// C = A·B (+ C): row-major matrix multiply, float32 on OpenBLAS or bf16 with float32 sums on oneDNN.
///
/// - Parameters:
///   - a: [m, k], or [k, m] with `transposeA`; float32 or bf16.
///   - b: [k, n], or [n, k] with `transposeB`; of the same type.
///   - c: [m, n], float32, overwritten, or added to with `accumulate`.
/// Tensors of rank above 2 count as [rows, columns]. Shapes that do not fit are a precondition failure. On a CPU for
/// which oneDNN has no bf16 product, bf16 operands are widened to float32: slower, and the same to rounding of sums.
public func matrixMultiply(
  _ a: Tensor, transposeA: Bool = false, _ b: Tensor, transposeB: Bool = false, into c: Tensor,
  accumulate: Bool = false
) {
  let (m, k) = transposeA ? (a.columns, a.rows) : (a.rows, a.columns)
  let (k2, n) = transposeB ? (b.columns, b.rows) : (b.rows, b.columns)
  precondition(
    k == k2 && c.rows == m && c.columns == n && a.dtype == b.dtype,
    "matrix multiply of \(a.dtype.rawValue) \(a.shape)\(transposeA ? "ᵀ" : "") and \(b.dtype.rawValue) \(b.shape)"
      + "\(transposeB ? "ᵀ" : "") into \(c.shape)")
  if m == 0 || n == 0 { return }
  if k == 0 {
    if !accumulate { c.fill(0) }
    return
  }
  if a.dtype == .bfloat16 {
    if BF16Products.multiply(
      a, transposeA: transposeA, b, transposeB: transposeB, into: c, accumulate: accumulate)
    {
      return
    }
    matrixMultiply(
      a.float32(), transposeA: transposeA, b.float32(), transposeB: transposeB, into: c, accumulate: accumulate)
    return
  }
  cblas_sgemm(
    CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
    numericCast(m), numericCast(n), numericCast(k), 1, a.floats, numericCast(a.columns), b.floats,
    numericCast(b.columns), accumulate ? 1 : 0, c.floats, numericCast(n))
}
