import Platform
import Tensors

/// A named tensor in a weight file, read in place.
///
/// `bytes` are row-major, little-endian and not necessarily aligned for `dtype`. They stay valid while the tensor, or
/// the file that it came from, lives.
package struct StoredTensor: @unchecked Sendable {
  /// The name in the file.
  package let name: String
  /// The element type in the file.
  package let dtype: DType
  /// The extents, outermost first, of any number; empty for a scalar.
  package let shape: [Int]
  /// `count * dtype.size` bytes.
  package let bytes: UnsafeRawBufferPointer
  /// The file that holds the tensor, for messages.
  package let file: String
  /// The number of elements: the product of `shape`, 1 for a scalar.
  package let count: Int
  /// Keeps the memory of `bytes` alive. The memory is never written, so the type is safe to send.
  private let owner: AnyObject

  /// Makes a tensor over `bytes`, which `owner` keeps alive; the byte count must be the product of `shape` times the
  /// element's size.
  package init(
    name: String, dtype: DType, shape: [Int], bytes: UnsafeRawBufferPointer, file: String, owner: AnyObject
  ) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.bytes = bytes
    self.file = file
    self.owner = owner
    count = bytes.count / dtype.size
    precondition(
      count == checkedProduct(shape) && bytes.count % dtype.size == 0,
      "tensor \(name): shape \(shape) of \(dtype.rawValue) does not fill \(bytes.count) bytes")
  }

  /// Converts the elements in `range` (all by default) to 32-bit floats at `destination`, which has room for them.
  ///
  /// Integers and 64-bit floats are rounded to the nearest float; true is 1, false is 0.
  package func copyFloats(into destination: UnsafeMutablePointer<Float>, range: Range<Int>? = nil) {
    let range = range ?? 0..<count
    precondition(
      range.lowerBound >= 0 && range.upperBound <= count,
      "tensor \(name): elements \(range) of \(count) were asked for")
    guard !range.isEmpty, let start = bytes.baseAddress else { return }
    convertToFloats(destination, from: start + range.lowerBound * dtype.size, dtype: dtype, count: range.count)
  }

  /// Releases the pages of a mapped file from this process's memory; the next access reads them again.
  package func releasePages() { if owner is MappedFile { MappedPages.release(bytes) } }
}

/// A file's description of a tensor, whether or not Retort reads its type.
package struct TensorDescription: Sendable, Equatable {
  /// The type as the file names it, such as "F32" or "F8_E4M3".
  package let type: String
  /// The extents, outermost first.
  package let shape: [Int]
  /// The bytes of its data in the file.
  package let byteCount: Int

  /// Makes a description.
  package init(type: String, shape: [Int], byteCount: Int) {
    (self.type, self.shape, self.byteCount) = (type, shape, byteCount)
  }
}

/// Named tensors from one file or several.
package protocol WeightSource: AnyObject {
  /// The names of all tensors in the order of the file, including those whose type Retort does not read.
  var names: [String] { get }
  /// The tensor with this name; throws `.input` if there is none, if its file is damaged, or if Retort does not read
  /// its type.
  func tensor(_ name: String) throws -> StoredTensor
  /// Type, shape and size of the tensor with this name, of any type; throws `.input` if there is none.
  func describe(_ name: String) throws -> TensorDescription
  /// Harmless faults of the files, each a sentence without a full stop.
  var remarks: [String] { get }
  func contains(_ name: String) -> Bool
  /// The paths of the files that hold the tensors, the index of a sharded model first.
  var files: [String] { get }
  /// The file's metadata strings; empty if the format has none.
  var metadata: [String: String] { get }
}

extension WeightSource {
  package func describe(_ name: String) throws -> TensorDescription {
    let tensor = try tensor(name)
    return TensorDescription(type: tensor.dtype.rawValue, shape: tensor.shape, byteCount: tensor.bytes.count)
  }

  package var remarks: [String] { [] }
}

/// The error for a tensor whose type is not one of `DType`.
func unreadType(_ type: String, at place: String) -> RetortError {
  RetortError(
    .input,
    "has the unknown dtype \(shown(type)); known are \(DType.allCases.map(\.rawValue).joined(separator: ", "))",
    at: place,
    remedy: "use the model's weights in F32, BF16 or F16")
}

/// A name from a file for a message: quoted, control characters escaped, long names cut.
func shown(_ name: String) -> String {
  JSON.string(name.count > 120 ? name.prefix(120) + "…" : name).text()
}

/// The error for a name that a file does not contain, with examples of its names.
func noSuchTensor(_ name: String, in file: String, names: [String]) -> RetortError {
  let some = names.prefix(3).map(shown).joined(separator: ", ")
  let held = names.isEmpty ? "no tensors at all" : "\(names.count) tensors: \(some)\(names.count > 3 ? ", …" : "")"
  return RetortError(.input, "has no tensor \(shown(name)); it holds \(held)", at: file)
}
