import Platform

/// The bytes of a data file as UTF-8 text: the mapped file, or its gzip or UTF-16 content converted in memory.
///
/// Converted text stays in memory, so that no private text is left on a disk; each rank that opens the file has its
/// own copy as long as it reads.
final class DataBytes: @unchecked Sendable {
  // Unchecked: the bytes are not written after `init`.
  let bytes: UnsafeRawBufferPointer
  private let mapped: MappedFile?
  private let owned: UnsafeMutableRawPointer?

  /// Opens a regular file; throws `.input` for damaged gzip data, and for text that is certainly in an unsupported
  /// encoding.
  init(_ path: String) throws {
    let file = try MappedFile(path)
    let isCompressed = file.bytes.starts(with: [0x1f, 0x8b])
    if !isCompressed, path.lowercased().hasSuffix(".gz") {
      throw RetortError(
        .input, file.bytes.isEmpty ? "is an empty file, gzip data was expected" : "is not gzip data, as its name says",
        at: path, remedy: "write or copy the file again, or remove .gz from its name")
    }
    var memory = isCompressed ? try Gzip.decompress(file.bytes, path: path) : nil
    let content = memory.map { UnsafeRawBufferPointer($0) } ?? file.bytes
    do {
      if let wide = try UTF16Text.utf8(of: content, path: path) {
        memory?.baseAddress?.deallocate()
        memory = wide
      }
    } catch {
      memory?.baseAddress?.deallocate()
      throw error
    }
    owned = memory?.baseAddress
    mapped = memory == nil ? file : nil
    bytes = memory.map { UnsafeRawBufferPointer($0) } ?? file.bytes
  }

  deinit { owned?.deallocate() }
}
