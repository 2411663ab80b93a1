import CKernels

/// Pads matrices whose number of rows changes from batch to batch.
package enum RowPadding {
  /// The rows rounded up to a multiple of 16, 32 or 64: a prepared product serves one shape only, so this keeps the
  /// number of shapes small. On average it adds 2 % of work at 400 rows and more.
  package static func padded(_ rows: Int) -> Int {
    let unit = rows <= 512 ? 16 : rows <= 2048 ? 32 : 64
    return (rows + unit - 1) / unit * unit
  }
}

extension Tensor {
  /// The elements rounded to bf16, in new memory.
  package func bf16() -> Tensor {
    let result = Tensor(uninitialized: shape, .bfloat16)
    rtk_f32_to_bf16(result.bf16Words, floats, count)
    return result
  }

  /// Rounds the elements to bf16 into existing memory: `place` is a bf16 tensor of this shape and any layout.
  package func rounded(into place: Tensor) {
    precondition(place.shape == shape, "\(shape) rounded into \(place.shape)")
    if place.layout == .packed { return packRounded(into: place) }
    rtk_f32_to_bf16(place.bf16Words, floats, count)
  }

  /// The elements rounded to bf16, padded with rows of zeros: [R, C] ↦ [RowPadding.padded(R), C].
  package func bf16WithPaddedRows() -> Tensor {
    let padded = RowPadding.padded(rows)
    let result = Tensor(uninitialized: [padded, columns], .bfloat16)
    rtk_f32_to_bf16(result.bf16Words, floats, count)
    (result.bf16Words + count).update(repeating: 0, count: (padded - rows) * columns)
    return result
  }

  /// An uninitialised bf16 tensor with memory for the padding rows too: see `withPaddedRows`.
  package static func bf16(uninitializedRows rows: Int, columns: Int) -> Tensor {
    Tensor(uninitialized: [RowPadding.padded(rows), columns], .bfloat16).rows(0..<rows)
  }

  /// The same memory extended by the padding rows, whose content is undefined; a copy if the memory has no room.
  package func withPaddedRows() -> Tensor {
    let shape: Shape = [RowPadding.padded(rows), columns]
    if byteOffset + shape.count * dtype.size <= storage.capacity {
      return Tensor(storage: storage, byteOffset: byteOffset, shape: shape, dtype: dtype)
    }
    return float32().bf16WithPaddedRows()
  }

  /// `withPaddedRows` with the padding set to zero, for sums over the rows of a product.
  ///
  /// Not for a view of a larger matrix, whose next rows it would clear.
  package func withClearedPadding() -> Tensor {
    let padded = withPaddedRows()
    (padded.bf16Words + count).update(repeating: 0, count: padded.count - count)
    return padded
  }

  /// An uninitialised matrix for activations: float32, or bf16 with memory for the padding rows.
  package static func matrix(uninitializedRows rows: Int, columns: Int, _ dtype: DType) -> Tensor {
    dtype == .bfloat16
      ? bf16(uninitializedRows: rows, columns: columns) : Tensor(uninitialized: [rows, columns], dtype)
  }

  /// The elements as bf16 or float32; the tensor itself if it already has that format.
  package func converted(to dtype: DType) -> Tensor {
    if self.dtype == dtype { return self }
    if dtype == .float32 { return float32() }
    precondition(dtype == .bfloat16, "a tensor cannot be converted to \(dtype.rawValue)")
    let result = Tensor.bf16(uninitializedRows: rows, columns: columns)
    rtk_f32_to_bf16(result.bf16Words, floats, count)
    return result
  }

  /// The elements of a bf16 tensor as float32, exactly, in new memory.
  package func float32() -> Tensor {
    if layout == .packed { return unpacked().float32() }
    let result = Tensor(uninitialized: shape)
    rtk_bf16_to_f32(result.floats, bf16Words, count)
    return result
  }
}
