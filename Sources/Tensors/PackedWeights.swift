import CKernels

// The weights of a model that is not trained are multiplied many times and never written: it pays to bring them once
// into the order in which oneDNN reads them. It does so in every product else, which takes 3 to 7 % of its time at 512
// rows and more, and 12 to 25 % at 64. The results are the same bits.
extension Tensor {
  /// Whether a bf16 weight of this shape [n, k] can be packed on this CPU: whole blocks, and products for them.
  public static func isPackable(_ shape: Shape) -> Bool {
    guard shape.rank == 2, shape.count > 0, shape.rows % Block.rows == 0, shape.columns % (2 * Block.pairs) == 0 else {
      return false
    }
    return BF16Products.areNative && BF16Products.packs(n: shape.rows, k: shape.columns)
  }

  /// The same weight [n, k] in the order that products read: blocks of 64 rows and 32 columns, and inside a block the
  /// rows' first pairs of neighbours, then their second ones: [n/64, k/32, 16, 64, 2].
  public func packed() -> Tensor {
    let result = Tensor(storage: Storage(bytes: 2 * count), byteOffset: 0, shape: shape, dtype: dtype, layout: .packed)
    pack(into: result)
    return result
  }

  /// `packed()` into memory that is there: `place` is a packed tensor of this shape.
  public func pack(into place: Tensor) {
    precondition(
      layout == .rows && place.layout == .packed && place.shape == shape && place.dtype == dtype,
      "\(layout) of \(shape) packed into \(place.layout) of \(place.shape)")
    Block.visit(shape, rows: pairs, packed: place.pairs) { row, packed in packed.pointee = row.pointee }
  }

  /// Whether a packed weight has these rows in one piece.
  func areWholeBlocks(_ range: Range<Int>) -> Bool {
    range.lowerBound % Block.rows == 0 && range.upperBound % Block.rows == 0
  }

  /// A float32 weight rounded and packed, 64 rows at a time: the rounded rows are nowhere as a whole.
  func packRounded(into place: Tensor) {
    precondition(place.layout == .packed && place.shape == shape, "\(shape) packed into \(place.shape)")
    let rows = Tensor(uninitialized: [Block.rows, columns], .bfloat16)
    for first in stride(from: 0, to: self.rows, by: Block.rows) {
      rtk_f32_to_bf16(rows.bf16Words, floats + first * columns, rows.count)
      let packed = place.pairs + first * columns / 2
      Block.visit(rows.shape, rows: rows.pairs, packed: packed) { row, packed in packed.pointee = row.pointee }
    }
  }

  /// The rows of a packed weight, in memory of its own.
  public func unpacked() -> Tensor {
    precondition(layout == .packed, "rows of \(shape) were unpacked")
    let result = Tensor(uninitialized: shape, dtype)
    Block.visit(shape, rows: result.pairs, packed: pairs) { row, packed in row.pointee = packed.pointee }
    return result
  }

  /// The elements two by two.
  private var pairs: UnsafeMutablePointer<UInt32> {
    precondition(dtype == .bfloat16, "a \(dtype.rawValue) tensor was used as BF16")
    return (storage.address + byteOffset).assumingMemoryBound(to: UInt32.self)
  }
}

/// A block of a packed weight: 64 rows of 16 pairs.
private enum Block {
  static let rows = 64
  static let pairs = 16

  /// Calls `move` with the places of each pair of elements in rows and in a packed weight of this shape.
  @inline(__always)
  static func visit(
    _ shape: Shape, rows: UnsafeMutablePointer<UInt32>, packed: UnsafeMutablePointer<UInt32>,
    _ move: (UnsafeMutablePointer<UInt32>, UnsafeMutablePointer<UInt32>) -> Void
  ) {
    let width = shape.columns / 2
    var to = packed
    for block in stride(from: 0, to: shape.rows, by: Block.rows) {
      for column in stride(from: 0, to: width, by: pairs) {
        for pair in 0..<pairs {
          let from = rows + block * width + column + pair
          for row in 0..<Block.rows { move(from + row * width, to + row) }
          to += Block.rows
        }
      }
    }
  }
}
