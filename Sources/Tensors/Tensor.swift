import CKernels
import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// The order of a tensor's elements in memory.
package enum TensorLayout: String, Sendable {
  /// Row-major, without gaps.
  case rows
  /// A bf16 weight in the blocks that oneDNN's products read: see `Tensor.packed`.
  case packed
}

/// A dense, contiguous block of numbers with a shape. Copies share the storage.
///
/// An operation that writes into a tensor owns it or documents the write. Operations compute in float32; other element
/// types are storage formats.
package struct Tensor: @unchecked Sendable {
  /// The memory, which other tensors may share.
  package let storage: Storage
  /// Bytes from the start of the storage.
  package let byteOffset: Int
  /// The extents; the last one runs fastest.
  package let shape: Shape
  /// How an element is stored.
  package let dtype: DType
  /// The order of the elements: `rows`, except for weights that only products read.
  package let layout: TensorLayout

  /// Uninitialised memory of this shape.
  package init(uninitialized shape: Shape, _ dtype: DType = .float32) {
    self.init(storage: Storage(bytes: shape.count * dtype.size), byteOffset: 0, shape: shape, dtype: dtype)
  }

  /// A view of existing memory; a shape that does not fit is a precondition failure.
  package init(
    storage: Storage, byteOffset: Int, shape: Shape, dtype: DType = .float32, layout: TensorLayout = .rows
  ) {
    precondition(
      byteOffset + shape.count * dtype.size <= storage.capacity,
      "shape \(shape) at byte \(byteOffset) does not fit a storage of \(storage.capacity) bytes")
    self.storage = storage
    self.byteOffset = byteOffset
    self.shape = shape
    self.dtype = dtype
    self.layout = layout
  }

  /// A tensor of one value.
  package init(repeating value: Float, _ shape: Shape) {
    self.init(uninitialized: shape)
    fill(value)
  }

  /// A float32 tensor of zeros, in new memory.
  package static func zeros(_ shape: Shape) -> Tensor { Tensor(repeating: 0, shape) }

  /// A tensor with the given elements; their number must equal the shape's count.
  package init(_ values: [Float], _ shape: Shape) {
    precondition(values.count == shape.count, "\(values.count) values for shape \(shape)")
    self.init(uninitialized: shape)
    values.withUnsafeBufferPointer { if let from = $0.baseAddress { floats.update(from: from, count: $0.count) } }
  }

  /// The number of elements.
  package var count: Int { shape.count }
  /// Extent 0, or 1 for a scalar.
  package var rows: Int { shape.rows }
  /// The product of all extents but the first: the length of a row.
  package var columns: Int { shape.columns }

  /// The elements as float32; valid while the tensor is held.
  package var floats: UnsafeMutablePointer<Float> {
    precondition(dtype == .float32, "a \(dtype.rawValue) tensor was used as F32")
    return (storage.address + byteOffset).assumingMemoryBound(to: Float.self)
  }

  /// The elements as bf16 bit patterns; valid while the tensor is held.
  package var bf16Words: UnsafeMutablePointer<UInt16> {
    precondition(
      dtype == .bfloat16 && layout == .rows, "a tensor of \(layout) of \(dtype.rawValue) was used as rows of BF16")
    return (storage.address + byteOffset).assumingMemoryBound(to: UInt16.self)
  }

  /// All elements as float32, in place; valid while the tensor is held.
  package var buffer: UnsafeMutableBufferPointer<Float> { UnsafeMutableBufferPointer(start: floats, count: count) }

  /// The elements as an array, for tests and for small results.
  package var array: [Float] {
    // A converted tensor is a temporary, which the compiler releases once its address is read: without this, another
    // thread could take its memory while the elements are copied.
    withExtendedLifetime(converted(to: .float32)) { Array($0.buffer) }
  }

  /// Sets every bit to zero, in place.
  package func clear() { memset(storage.address + byteOffset, 0, count * dtype.size) }

  /// Zeros that use memory only once they are written; for weights.
  package static func untouchedZeros(_ shape: Shape) -> Tensor {
    Tensor(storage: Storage(untouchedZeros: 4 * shape.count), byteOffset: 0, shape: shape)
  }

  /// A shape without elements, for data that is not in memory: reading or writing it ends the program.
  package static func absent(_ shape: Shape) -> Tensor {
    Tensor(storage: Storage(absent: 4 * shape.count), byteOffset: 0, shape: shape)
  }

  /// The only element.
  package var scalar: Float {
    precondition(count == 1, "a tensor of shape \(shape) is no scalar")
    return floats[0]
  }

  /// A view of some rows; for a packed matrix the range must be whole blocks.
  package func rows(_ range: Range<Int>) -> Tensor {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= rows && (layout == .rows || areWholeBlocks(range)),
      "rows \(range) of \(layout) \(shape)")
    var extents = shape.array
    extents[0] = range.count
    return Tensor(
      storage: storage, byteOffset: byteOffset + range.lowerBound * columns * dtype.size, shape: Shape(extents),
      dtype: dtype, layout: layout)
  }

  /// A view of `shape` that begins at an element of the flat memory.
  package func slice(at element: Int, _ shape: Shape) -> Tensor {
    precondition(
      element >= 0 && element + shape.count <= count && layout == .rows,
      "slice \(shape) at \(element) of \(layout) \(self.shape)")
    return Tensor(storage: storage, byteOffset: byteOffset + element * dtype.size, shape: shape, dtype: dtype)
  }

  /// The bytes of the elements, in place; valid while the tensor is held.
  package var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: storage.address + byteOffset, count: count * dtype.size)
  }

  /// Maps the tensor's pages, runs `body` and releases them: for large weights in a mapped file. Only
  /// weights in use then count as this process's memory. For other tensors it only runs `body`.
  package func whileInMemory(_ body: () throws -> Void) rethrows {
    guard storage.releasesPages else { return try body() }
    MappedPages.populate(bytes)
    defer { MappedPages.release(bytes) }
    try body()
  }

  /// Sets every element in place, for all tensors that share the memory.
  package func fill(_ value: Float) { rtk_fill(floats, value, count) }

  /// Copies the other tensor's elements; the shapes must have the same count.
  package func update(from other: Tensor) {
    precondition(other.count == count, "cannot copy \(other.shape) into \(shape)")
    floats.update(from: other.floats, count: count)
  }

  /// Copies the other tensor's bytes; both have the same format and count.
  package func copyBits(of other: Tensor) {
    precondition(
      other.count == count && other.dtype == dtype, "cannot copy \(other.dtype.rawValue) \(other.shape) into \(shape)")
    memcpy(storage.address + byteOffset, other.storage.address + other.byteOffset, count * dtype.size)
  }

  /// Adds the other tensor's elements to these; both are float32 of the same count.
  package func add(_ other: Tensor) {
    precondition(other.count == count, "cannot add \(other.shape) to \(shape)")
    rtk_add(floats, floats, other.floats, count)
  }

  /// A float32 tensor with the same elements in new memory.
  package func copy() -> Tensor {
    let result = Tensor(uninitialized: shape)
    result.update(from: self)
    return result
  }

  /// Σ x², summed in double precision; in pieces of a fixed size, so that any number of threads gives the same bits.
  package var sumOfSquares: Double {
    let piece = 1 << 16
    if count <= piece { return rtk_sum_of_squares(floats, count) }
    let pieces = (count + piece - 1) / piece
    return withUnsafeTemporaryAllocation(of: Double.self, capacity: pieces) { sums in
      let place = sums.baseAddress!
      ThreadTeam.run(parts: pieces) { part in
        let first = part * piece
        place[part] = rtk_sum_of_squares(floats + first, min(piece, count - first))
      }
      return sums.reduce(0, +)
    }
  }
}
