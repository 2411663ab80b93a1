import Synchronization

/// The bytes read from pipes, by the name that messages use for the pipe.
///
/// A pipe can be read once and cannot be mapped. Its bytes are kept here, and `MappedFile` returns them for that name
/// as if it were a file's. The contents belong to the process, as its pipes do.
package enum StreamContents {
  private static let contents = Mutex<[String: Bytes]>([:])

  /// Memory that is written once and freed with its last user.
  final class Bytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer

    init(_ source: [UInt8]) {
      let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 16)
      memory.copyBytes(from: source)
      bytes = UnsafeRawBufferPointer(memory)
    }

    deinit { UnsafeMutableRawPointer(mutating: bytes.baseAddress)?.deallocate() }
  }

  /// Keeps bytes under a name and replaces earlier ones.
  package static func keep(_ bytes: [UInt8], as name: String) {
    let kept = Bytes(bytes)
    contents.withLock { $0[name] = kept }
  }

  /// Whether the name belongs to the content of a pipe.
  package static func has(_ name: String) -> Bool { content(of: name) != nil }

  static func content(of name: String) -> Bytes? { contents.withLock { $0[name] } }
}
