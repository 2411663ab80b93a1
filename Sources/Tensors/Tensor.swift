import CKernels
import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// How the elements of a tensor follow each other in its memory.
public enum TensorLayout: String, Sendable {
  /// Row-major, without gaps.
  case rows
  /// A bf16 weight in the blocks that oneDNN's products read: see `Tensor.packed`.
  case packed
}

/// A dense, contiguous block of numbers with a shape; a value that shares its storage.
///
/// Copies of a tensor see the same memory: an operation that writes into a tensor owns it or says so.
/// The compute type is float32; other element types are storage forms.
public struct Tensor: @unchecked Sendable {
  /// The memory, which other tensors may share.
  public let storage: Storage
  /// Bytes from the start of the storage.
  public let byteOffset: Int
  /// The extents; the last one runs fastest.
  public let shape: Shape
  /// How an element is stored.
  public let dtype: DType
  /// The order of the elements: rows, but for weights that only products read.
  public let layout: TensorLayout

  /// Uninitialised memory of this shape.
  public init(uninitialized shape: Shape, _ dtype: DType = .float32) {
    self.init(storage: Storage(bytes: shape.count * dtype.size), byteOffset: 0, shape: shape, dtype: dtype)
  }

  /// A view of memory that is there already; a precondition failure where the shape does not fit it.
  public init(
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
  public init(repeating value: Float, _ shape: Shape) {
    self.init(uninitialized: shape)
    fill(value)
  }

  /// A float32 tensor of zeros, in memory of its own.
  public static func zeros(_ shape: Shape) -> Tensor { Tensor(repeating: 0, shape) }

  /// A tensor with the given elements; their number must be the shape's count.
  public init(_ values: [Float], _ shape: Shape) {
    precondition(values.count == shape.count, "\(values.count) values for shape \(shape)")
    self.init(uninitialized: shape)
    values.withUnsafeBufferPointer { if let from = $0.baseAddress { floats.update(from: from, count: $0.count) } }
  }

  /// The number of elements.
  public var count: Int { shape.count }
  /// Extent 0, or 1 for a scalar.
  public var rows: Int { shape.rows }
  /// The product of all extents but the first: the length of a row.
  public var columns: Int { shape.columns }

  /// The elements as float32; valid while the tensor is held.
  public var floats: UnsafeMutablePointer<Float> {
    precondition(dtype == .float32, "a \(dtype.rawValue) tensor was used as F32")
    return (storage.address + byteOffset).assumingMemoryBound(to: Float.self)
  }

  /// The elements as bf16 bit patterns; valid while the tensor is held.
  public var bf16Words: UnsafeMutablePointer<UInt16> {
    precondition(
      dtype == .bfloat16 && layout == .rows, "a tensor of \(layout) of \(dtype.rawValue) was used as rows of BF16")
    return (storage.address + byteOffset).assumingMemoryBound(to: UInt16.self)
  }

  /// All elements as float32, in place; valid while the tensor is held.
  public var buffer: UnsafeMutableBufferPointer<Float> { UnsafeMutableBufferPointer(start: floats, count: count) }

  /// The elements as an array, for tests and for small results.
  public var array: [Float] { Array(converted(to: .float32).buffer) }

  /// Sets every bit to zero, in place.
  public func clear() { memset(storage.address + byteOffset, 0, count * dtype.size) }

  /// Zeros that take memory only where they are written to; for weights.
  public static func untouchedZeros(_ shape: Shape) -> Tensor {
    Tensor(storage: Storage(untouchedZeros: 4 * shape.count), byteOffset: 0, shape: shape)
  }

  /// A shape without elements, of something that is not in memory: who reads or writes it ends the program.
  public static func absent(_ shape: Shape) -> Tensor {
    Tensor(storage: Storage(absent: 4 * shape.count), byteOffset: 0, shape: shape)
  }

  /// The only element.
  public var scalar: Float {
    precondition(count == 1, "a tensor of shape \(shape) is no scalar")
    return floats[0]
  }

  /// Rows of the same memory; of a packed matrix whole blocks of rows.
  public func rows(_ range: Range<Int>) -> Tensor {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= rows && (layout == .rows || areWholeBlocks(range)),
      "rows \(range) of \(layout) \(shape)")
    var extents = shape.array
    extents[0] = range.count
    return Tensor(
      storage: storage, byteOffset: byteOffset + range.lowerBound * columns * dtype.size, shape: Shape(extents),
      dtype: dtype, layout: layout)
  }

  /// A part of the flat memory with a shape of its own.
  public func slice(at element: Int, _ shape: Shape) -> Tensor {
    precondition(
      element >= 0 && element + shape.count <= count && layout == .rows,
      "slice \(shape) at \(element) of \(layout) \(self.shape)")
    return Tensor(storage: storage, byteOffset: byteOffset + element * dtype.size, shape: shape, dtype: dtype)
  }

  /// The bytes of the elements, in place; valid while the tensor is held.
  public var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: storage.address + byteOffset, count: count * dtype.size)
  }

  /// Runs `body` with the tensor's pages in memory, and lets them go afterwards: for the large weights of a mapped
  /// file, of which only those in use then count as this process's memory. Other tensors are as they are.
  public func whileInMemory(_ body: () throws -> Void) rethrows {
    guard storage.isLetGo else { return try body() }
    MappedPages.bring(bytes)
    defer { MappedPages.letGo(bytes) }
    try body()
  }

  /// Sets every element, in place: all tensors on this memory see it.
  public func fill(_ value: Float) { rtk_fill(floats, value, count) }

  /// Copies the other tensor's elements here; shapes must have the same count.
  public func update(from other: Tensor) {
    precondition(other.count == count, "cannot copy \(other.shape) into \(shape)")
    floats.update(from: other.floats, count: count)
  }

  /// Copies the other tensor's elements here, bit by bit; both have one format, and shapes the same count.
  public func copyBits(of other: Tensor) {
    precondition(
      other.count == count && other.dtype == dtype, "cannot copy \(other.dtype.rawValue) \(other.shape) into \(shape)")
    memcpy(storage.address + byteOffset, other.storage.address + other.byteOffset, count * dtype.size)
  }

  /// Adds the other tensor's elements to these; both are float32 of the same count.
  public func add(_ other: Tensor) {
    precondition(other.count == count, "cannot add \(other.shape) to \(shape)")
    rtk_add(floats, floats, other.floats, count)
  }

  /// A tensor of its own memory with the same elements.
  public func copy() -> Tensor {
    let result = Tensor(uninitialized: shape)
    result.update(from: self)
    return result
  }

  /// Σ x², summed in double precision.
  public var sumOfSquares: Double { rtk_sum_of_squares(floats, count) }

  /// Whether no element is NaN or infinite.
  public var isFinite: Bool { rtk_all_finite(floats, count) }
}
