import CKernels

/// y = x·Wᵀ, where each row depends only on its own row of x, to the last bit.
///
/// Libraries choose kernels by the number of rows, and some by the position in the matrix, so the same row gets
/// different last bits in different batches. Here every element is one chain of multiply-adds in a fixed order, on any
/// number of threads. `matrixMultiply` is faster and serves where this does not matter.
///
/// - Parameters:
///   - x: [R, inputs], float32 or bf16.
///   - weight: [outputs, inputs], of the same type.
///   - y: [R, outputs], float32, overwritten.
/// Mismatched shapes are a precondition failure. oneDNN's native bf16 products for AVX-512 have this property and are
/// used; its other products lack it, so bf16 operands are widened there.
package func rowProduct(_ x: Tensor, _ weight: Tensor, into y: Tensor) {
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
  // Each part has whole panels and at least a million multiplications.
  let (to, from, by) = (y.floats, x.floats, weight.floats)
  ThreadTeam.split(outputs, unit: RowProduct.panel, cost: max(1, rows * inputs >> 5)) { columns in
    rtk_linear_rows(to, from, by, rows, inputs, outputs, columns.lowerBound, columns.upperBound)
  }
}

private enum RowProduct {
  /// A product is cut at multiples of this many columns, the widest tile of any instruction set.
  static let panel = 64
}
