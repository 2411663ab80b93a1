import CKernels

/// A running CRC32C (Castagnoli) over bytes: tells a damaged file from a whole one, at about the speed of memory.
///
/// It guards against accidents, not attacks; `Digest` is for identity.
public struct Checksum: Equatable, Sendable {
  /// The checksum of all bytes so far; 0 of none.
  public private(set) var value: UInt32 = 0

  /// The checksum of nothing yet.
  public init() {}

  /// The checksum of these bytes.
  public init(of bytes: UnsafeRawBufferPointer) { update(bytes) }

  /// Adds bytes; two calls in a row are one with the bytes joined.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    if let start = bytes.baseAddress { value = rtk_crc32c(value, start, bytes.count) }
  }

  /// The checksum of a regular file's content. Throws `.input` where it cannot be read.
  public static func ofFile(_ path: String) throws -> Checksum {
    let file = try MappedFile(path)
    var checksum = Checksum()
    for start in stride(from: 0, to: file.bytes.count, by: 1 << 24) {
      let piece = UnsafeRawBufferPointer(rebasing: file.bytes[start..<min(file.bytes.count, start + 1 << 24)])
      checksum.update(piece)
      Activity.tick()
      MappedPages.letGo(piece)
    }
    return checksum
  }
}
