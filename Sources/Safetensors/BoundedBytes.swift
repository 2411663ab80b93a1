import Platform

/// A file's bytes with bounds-checked reads: a bad offset in a file throws instead of trapping.
struct BoundedBytes {
  let bytes: UnsafeRawBufferPointer
  let file: String

  var count: Int { bytes.count }

  /// `count` bytes from `offset`; `what` names them in the error.
  func slice(_ offset: Int, _ count: Int, _ what: String) throws -> UnsafeRawBufferPointer {
    guard offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset else {
      throw RetortError(
        .input, "\(what) needs \(count) bytes at byte \(offset), but only \(bytes.count) are there", at: file,
        remedy: "the file is truncated or damaged: fetch it again")
    }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)])
  }

  /// A little-endian integer at `offset`, of any alignment.
  func integer<Value: FixedWidthInteger & BitwiseCopyable>(
    _ offset: Int, as type: Value.Type, _ what: String
  ) throws -> Value {
    let slice = try slice(offset, MemoryLayout<Value>.size, what)
    return Value(littleEndian: slice.loadUnaligned(as: Value.self))
  }

  func starts(with prefix: String) -> Bool {
    bytes.count >= prefix.utf8.count && bytes.prefix(prefix.utf8.count).elementsEqual(prefix.utf8)
  }

  /// Refuses a Git LFS pointer, the small text file that a clone without Git LFS has instead of the weights.
  func refuseLargeFilePointer() throws {
    if starts(with: "version https://git-lfs") {
      throw RetortError(
        .input, "is a Git LFS pointer of \(count) bytes, not the weights themselves", at: file,
        remedy: "run `git lfs pull` in that repository")
    }
  }
}

/// The product of `first` and all values; nil on overflow.
func checkedProduct(_ values: [Int], times first: Int = 1) -> Int? {
  // A zero extent makes an empty tensor, even if the other extents overflow.
  if values.contains(0) { return 0 }
  var product = first
  for value in values {
    let (next, overflow) = product.multipliedReportingOverflow(by: value)
    if overflow { return nil }
    product = next
  }
  return product
}
