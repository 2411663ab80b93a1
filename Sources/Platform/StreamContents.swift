import Synchronization

/// What came through pipes, by the name that messages use for it.
///
/// A pipe can be read once and cannot be mapped. Its bytes are kept here, and `MappedFile` gives them out for the name
/// as if it were that of a file. Process-wide, as the pipes of a process are.
public enum StreamContents {
  private static let contents = Mutex<[String: Bytes]>([:])

  /// Memory that is never written again and lives as long as it is read.
  final class Bytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer

    init(_ source: [UInt8]) {
      let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 16)
      memory.copyBytes(from: source)
      bytes = UnsafeRawBufferPointer(memory)
    }

    deinit { UnsafeMutableRawPointer(mutating: bytes.baseAddress)?.deallocate() }
  }

  /// Keeps bytes under a name, instead of those that it had.
  public static func keep(_ bytes: [UInt8], as name: String) {
    let kept = Bytes(bytes)
    contents.withLock { $0[name] = kept }
  }

  /// Forgets a name; whoever reads its bytes keeps them.
  public static func forget(_ name: String) { contents.withLock { $0[name] = nil } }

  /// Whether the name is that of a stream's content.
  public static func has(_ name: String) -> Bool { content(of: name) != nil }

  static func content(of name: String) -> Bytes? { contents.withLock { $0[name] } }
}
