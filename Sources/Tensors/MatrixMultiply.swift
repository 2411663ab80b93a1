import COpenBLAS

/// C = A·B (+ C): row-major single precision matrix multiply on OpenBLAS.
///
/// - Parameters:
///   - a: [m, k], or [k, m] with `transposeA`.
///   - b: [k, n], or [n, k] with `transposeB`.
///   - c: [m, n], overwritten, or added to with `accumulate`.
/// Tensors of rank above 2 count as [rows, columns]. Shapes that do not fit are a precondition failure.
public func matrixMultiply(
  _ a: Tensor, transposeA: Bool = false, _ b: Tensor, transposeB: Bool = false, into c: Tensor,
  accumulate: Bool = false
) {
  let (m, k) = transposeA ? (a.columns, a.rows) : (a.rows, a.columns)
  let (k2, n) = transposeB ? (b.columns, b.rows) : (b.rows, b.columns)
  precondition(
    k == k2 && c.rows == m && c.columns == n,
    "matrix multiply of \(a.shape)\(transposeA ? "ᵀ" : "") and \(b.shape)\(transposeB ? "ᵀ" : "") into \(c.shape)")
  if m == 0 || n == 0 { return }
  if k == 0 {
    if !accumulate { c.fill(0) }
    return
  }
  cblas_sgemm(
    CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
    numericCast(m), numericCast(n), numericCast(k), 1, a.floats, numericCast(a.columns), b.floats,
    numericCast(b.columns), accumulate ? 1 : 0, c.floats, numericCast(n))
}
