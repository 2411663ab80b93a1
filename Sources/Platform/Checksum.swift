import CKernels

/// A running CRC32C (Castagnoli) over bytes: detects damaged files, at about the speed of memory.
///
/// It detects accidents, not attacks; `Digest` identifies content.
package struct Checksum: Equatable, Sendable {
  /// The checksum of all bytes so far; 0 before the first.
  package private(set) var value: UInt32 = 0

  /// Starts with no bytes.
  package init() {}

  /// The checksum of these bytes.
  package init(of bytes: UnsafeRawBufferPointer) { update(bytes) }

  /// Adds bytes; two calls equal one call with the bytes joined.
  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    if let start = bytes.baseAddress { value = rtk_crc32c(value, start, bytes.count) }
  }

  /// The checksum of a regular file's content. Throws `.input` if the file cannot be read.
  package static func ofFile(_ path: String) throws -> Checksum {
    let file = try MappedFile(path)
    var checksum = Checksum()
    for start in stride(from: 0, to: file.bytes.count, by: 1 << 24) {
      let piece = UnsafeRawBufferPointer(rebasing: file.bytes[start..<min(file.bytes.count, start + 1 << 24)])
      checksum.update(piece)
      Activity.tick()
      MappedPages.release(piece)
    }
    return checksum
  }
}
