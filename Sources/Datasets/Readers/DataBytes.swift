import Platform

/// The bytes of a data file as UTF-8 text: the mapped file itself, or what its gzip or UTF-16 form becomes in memory.
///
/// What is decompressed or converted stays in memory, so that no private text is left on a disk; each rank that opens
/// the file has a copy of its own for as long as it reads.
final class DataBytes: @unchecked Sendable {
  // Unchecked: the bytes are never written after `init`.
  let bytes: UnsafeRawBufferPointer
  private let mapped: MappedFile?
  private let owned: UnsafeMutableRawPointer?

  /// Opens a regular file; throws `.input` for gzip data that is damaged, and for text in another encoding that can be
  /// told for certain.
  init(_ path: String) throws {
    let file = try MappedFile(path)
    let isCompressed = file.bytes.starts(with: [0x1f, 0x8b])
    if !isCompressed, path.lowercased().hasSuffix(".gz") {
      throw RetortError(
        .input, file.bytes.isEmpty ? "is an empty file, gzip data was expected" : "is not gzip data, as its name says",
        at: path, remedy: "write or copy the file anew, or take .gz from its name")
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
