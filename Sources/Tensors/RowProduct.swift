import CKernels

/// y = x·Wᵀ, each row of which depends on its own row of x alone, to the last bit.
///
/// Libraries choose other kernels for other numbers of rows, and some for other places in the matrix, so that the same
/// row comes out with other last bits in another batch. Here every element is one chain of multiply-adds in a fixed
/// order, on any number of threads. `matrixMultiply` is the faster one where that does not matter.
///
/// - Parameters:
///   - x: [R, inputs], float32 or bf16.
///   - weight: [outputs, inputs], of the same type.
///   - y: [R, outputs], float32, overwritten.
/// Shapes that do not fit are a precondition failure. oneDNN's native bf16 products, made for AVX-512, have this
/// property by themselves and are used; its others have not, so bf16 is widened where they would be.
public func rowProduct(_ x: Tensor, _ weight: Tensor, into y: Tensor) {
  let (rows, inputs, outputs) = (x.rows, x.columns, weight.rows)
  precondition(
    weight.columns == inputs && y.rows == rows && y.columns == outputs && x.dtype == weight.dtype,
    "row product of \(x.shape) and \(weight.shape)ᵀ into \(y.shape)")
  if rows == 0 || outputs == 0 { return }
  if inputs == 0 { return y.fill(0) }
  if x.dtype == .bfloat16 {
    let native = BF16Products.areNative
    if native, BF16Products.multiply(x, transposeA: false, weight, transposeB: true, into: y, accumulate: false) {
      return
    }
    return rowProduct(x.float32(), weight.float32(), into: y)
  }
  // Parts of whole panels, of at least a million multiplications.
  let (to, from, by) = (y.floats, x.floats, weight.floats)
  ThreadTeam.split(outputs, unit: RowProduct.panel, cost: max(1, rows * inputs >> 5)) { columns in
    rtk_linear_rows(to, from, by, rows, inputs, outputs, columns.lowerBound, columns.upperBound)
  }
}

private enum RowProduct {
  /// Columns at whose multiples a product may be cut: the widest tile of any instruction set.
  static let panel = 64
}
