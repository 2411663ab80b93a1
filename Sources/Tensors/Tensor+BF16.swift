import CKernels

/// How many rows a matrix gets whose number of rows changes from batch to batch.
public enum RowPadding {
  /// The rows rounded up, to 16, 32 or 64: a prepared product is good for one shape only, so few shapes should occur.
  ///
  /// On average it adds 2 % to the work of 400 rows and more.
  public static func padded(_ rows: Int) -> Int {
    let unit = rows <= 512 ? 16 : rows <= 2048 ? 32 : 64
    return (rows + unit - 1) / unit * unit
  }
}

extension Tensor {
  /// The elements rounded to bf16, in memory of its own.
  public func bf16() -> Tensor {
    let result = Tensor(uninitialized: shape, .bfloat16)
    rtk_f32_to_bf16(result.bf16Words, floats, count)
    return result
  }

  /// The elements rounded to bf16 in memory that is there: `place` is a bf16 tensor of this shape and of any layout.
  public func rounded(into place: Tensor) {
    precondition(place.shape == shape, "\(shape) rounded into \(place.shape)")
    if place.layout == .packed { return packRounded(into: place) }
    rtk_f32_to_bf16(place.bf16Words, floats, count)
  }

  /// The elements rounded to bf16 with rows of zeros behind them: [R, C] ↦ [RowPadding.padded(R), C].
  public func bf16WithPaddedRows() -> Tensor {
    let padded = RowPadding.padded(rows)
    let result = Tensor(uninitialized: [padded, columns], .bfloat16)
    rtk_f32_to_bf16(result.bf16Words, floats, count)
    (result.bf16Words + count).update(repeating: 0, count: (padded - rows) * columns)
    return result
  }

  /// A bf16 tensor of unset elements whose memory reaches over the padded rows too: see `withPaddedRows`.
  public static func bf16(uninitializedRows rows: Int, columns: Int) -> Tensor {
    Tensor(uninitialized: [RowPadding.padded(rows), columns], .bfloat16).rows(0..<rows)
  }

  /// The same memory with the rows behind it that padding asks for, whatever is in them; a copy where there are none.
  public func withPaddedRows() -> Tensor {
    let shape: Shape = [RowPadding.padded(rows), columns]
    if byteOffset + shape.count * dtype.size <= storage.capacity {
      return Tensor(storage: storage, byteOffset: byteOffset, shape: shape, dtype: dtype)
    }
    return float32().bf16WithPaddedRows()
  }

  /// As `withPaddedRows`, the rows behind it set to zero: for sums over the rows of a product.
  ///
  /// Behind a part of a larger matrix stand that matrix's own rows, so this is not for parts.
  public func withClearedPadding() -> Tensor {
    let padded = withPaddedRows()
    (padded.bf16Words + count).update(repeating: 0, count: padded.count - count)
    return padded
  }

  /// A matrix of unset elements that travels between operations: float32, or bf16 with memory for the padded rows.
  public static func matrix(uninitializedRows rows: Int, columns: Int, _ dtype: DType) -> Tensor {
    dtype == .bfloat16
      ? bf16(uninitializedRows: rows, columns: columns) : Tensor(uninitialized: [rows, columns], dtype)
  }

  /// The elements as bf16 or float32; the tensor itself where it has that format.
  public func converted(to dtype: DType) -> Tensor {
    if self.dtype == dtype { return self }
    if dtype == .float32 { return float32() }
    precondition(dtype == .bfloat16, "a tensor cannot be converted to \(dtype.rawValue)")
    let result = Tensor.bf16(uninitializedRows: rows, columns: columns)
    rtk_f32_to_bf16(result.bf16Words, floats, count)
    return result
  }

  /// The elements of a bf16 tensor as float32, exactly, in memory of its own.
  public func float32() -> Tensor {
    if layout == .packed { return unpacked().float32() }
    let result = Tensor(uninitialized: shape)
    rtk_bf16_to_f32(result.floats, bf16Words, count)
    return result
  }
}
