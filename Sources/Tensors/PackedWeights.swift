import CKernels

// Frozen weights are multiplied many times and never written, so they are packed once into the order that oneDNN reads.
// Otherwise oneDNN packs them in every product, which takes 3 to 7 % of its time at 512 rows and more, and 12 to 25 %
// at 64. The results are bit-identical.
extension Tensor {
  /// Whether a bf16 weight of shape [n, k] can be packed on this CPU: it has whole blocks, and oneDNN has products.
  package static func isPackable(_ shape: Shape) -> Bool {
    guard shape.rank == 2, shape.count > 0, shape.rows % Block.rows == 0, shape.columns % (2 * Block.pairs) == 0 else {
      return false
    }
    return BF16Products.areNative && BF16Products.packs(n: shape.rows, k: shape.columns)
  }

  /// The same weight [n, k] in the order that products read: blocks of 64 rows and 32 columns; a block holds the first
  /// pair of neighbours of every row, then the second pair, and so on: [n/64, k/32, 16, 64, 2].
  package func packed() -> Tensor {
    let result = Tensor(storage: Storage(bytes: 2 * count), byteOffset: 0, shape: shape, dtype: dtype, layout: .packed)
    pack(into: result)
    return result
  }

  /// `packed()` into existing memory: `place` is a packed tensor of this shape.
  package func pack(into place: Tensor) {
    precondition(
      layout == .rows && place.layout == .packed && place.shape == shape && place.dtype == dtype,
      "\(layout) of \(shape) packed into \(place.layout) of \(place.shape)")
    Block.visit(shape, rows: pairs, packed: place.pairs) { row, packed in packed.pointee = row.pointee }
  }

  /// Whether a range of rows consists of whole blocks of a packed weight.
  func areWholeBlocks(_ range: Range<Int>) -> Bool {
    range.lowerBound % Block.rows == 0 && range.upperBound % Block.rows == 0
  }

  /// Rounds and packs a float32 weight, 64 rows at a time, so that no copy of all rounded rows exists.
  func packRounded(into place: Tensor) {
    precondition(place.layout == .packed && place.shape == shape, "\(shape) packed into \(place.shape)")
    let rows = Tensor(uninitialized: [Block.rows, columns], .bfloat16)
    for first in stride(from: 0, to: self.rows, by: Block.rows) {
      rtk_f32_to_bf16(rows.bf16Words, floats + first * columns, rows.count)
      let packed = place.pairs + first * columns / 2
      Block.visit(rows.shape, rows: rows.pairs, packed: packed) { row, packed in packed.pointee = row.pointee }
    }
  }

  /// The rows of a packed weight, in new memory.
  package func unpacked() -> Tensor {
    precondition(layout == .packed, "rows of \(shape) were unpacked")
    let result = Tensor(uninitialized: shape, dtype)
    Block.visit(shape, rows: result.pairs, packed: pairs) { row, packed in row.pointee = packed.pointee }
    return result
  }

  /// The elements as pairs.
  private var pairs: UnsafeMutablePointer<UInt32> {
    precondition(dtype == .bfloat16, "a \(dtype.rawValue) tensor was used as BF16")
    return (storage.address + byteOffset).assumingMemoryBound(to: UInt32.self)
  }
}

/// A block of a packed weight: 64 rows of 16 pairs.
private enum Block {
  static let rows = 64
  static let pairs = 16

  /// Calls `move` with the addresses of each pair of elements in row order and in a packed weight of this shape.
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
