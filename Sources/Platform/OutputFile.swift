#if canImport(Glibc)
  import Glibc
#endif

/// A file that the user names for a command's output.
///
/// A regular file, or a name that does not exist yet, is replaced atomically: a reader sees the old file or the whole
/// new one, with the permissions of the old one. A symbolic link stays; its target is replaced. FIFOs, terminals and
/// other character devices are written to and never replaced. `-` and `/dev/stdout` are standard output. Anything
/// else is refused.
package final class OutputFile {
  /// What a name resolves to.
  package enum Place: Equatable, Sendable {
    /// A descriptor of this process, named `-` or by a path under `/dev/fd`.
    case descriptor(Int32)
    /// A regular file that may not exist yet: the path with all links resolved.
    case file(String)
    /// A FIFO or character device.
    case stream(String)

    /// Whether it is the process's standard output.
    package var isStandardOutput: Bool { self == .descriptor(STDOUT_FILENO) }
  }

  /// The name that the user gave.
  package let name: String
  /// What the name resolves to.
  package let place: Place
  private let file: AtomicFile?
  private let descriptor: Int32

  /// Opens the output; opening a FIFO blocks until it has a reader. Throws as `place(of:)` and `requireWritable` do.
  package init(_ name: String) throws {
    self.name = name
    place = try OutputFile.place(of: name)
    switch place {
    case .descriptor(let number):
      (file, descriptor) = (nil, number)
    case .file(let path):
      try OutputFile.requireWritable(name)
      file = try AtomicFile(path)
      file?.keepAttributes(of: path)
      descriptor = -1
    case .stream(let path):
      file = nil
      descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY)
      if descriptor < 0 { throw RetortError.ofWriting("cannot open", name, errno) }
    }
  }

  deinit { if case .stream = place, descriptor >= 0 { close(descriptor) } }

  /// Appends bytes; throws `.checkpoint` with the system's reason.
  package func write(_ bytes: UnsafeRawBufferPointer) throws {
    if let file { return try file.write(bytes) }
    let code = writeAll(bytes, to: descriptor)
    if code == 0 { return }
    if code == EPIPE || code == EBADF {
      throw RetortError(
        .checkpoint, "cannot write (\(code == EPIPE ? "its reader has closed it" : "it is closed"))", at: display,
        remedy: "read it to its end, or name a file")
    }
    throw RetortError.ofWriting("cannot write", display, code)
  }

  /// Flushes the bytes and renames a regular file to its final name; throws `.checkpoint`.
  package func commit() throws {
    if let file { return try file.commit() }
    // Some devices report a failed write only here. Terminals and pipes cannot be flushed and return these codes.
    if fsync(descriptor) != 0, errno != EINVAL, errno != EROFS, errno != ENOTSUP, errno != EBADF {
      throw RetortError.ofWriting("cannot flush", display, errno)
    }
  }

  /// Writes a whole text and commits it.
  package static func write(_ text: String, to name: String) throws {
    let output = try OutputFile(name)
    var text = text
    try text.withUTF8 { try output.write(UnsafeRawBufferPointer($0)) }
    try output.commit()
  }

  private var display: String { place.isStandardOutput ? "standard output" : name }

  /// Resolves a name; creates and opens nothing.
  ///
  /// Throws `.configuration` for a directory, a socket or a block device, and for links that form a loop.
  package static func place(of name: String) throws -> Place {
    func refusal(_ what: String) -> RetortError {
      RetortError(
        .configuration, what, at: name, remedy: "name a file, a FIFO, or - for standard output")
    }
    if name.isEmpty { throw refusal("the name of the output is empty") }
    if name == "-" { return .descriptor(STDOUT_FILENO) }
    var path = name
    var info = stat()
    for _ in 0..<40 {
      if let number = descriptorNumber(path) { return .descriptor(number) }
      if lstat(path, &info) != 0 {
        if errno == ENOENT, !path.hasSuffix("/") { return .file(path) }
        if errno == ENOENT { throw refusal("is the name of a directory, a file was expected") }
        throw RetortError.ofWriting("cannot read its attributes", name, errno, kind: .configuration)
      }
      switch info.st_mode & S_IFMT {
      case S_IFREG: return .file(path)
      case S_IFIFO, S_IFCHR: return .stream(path)
      case S_IFDIR: throw refusal("is a directory, a file was expected")
      case S_IFLNK:
        guard let target = linkTarget(path) else { throw refusal("is a link that cannot be read") }
        path = joinPath(parentDirectory(of: path), target)
      case S_IFSOCK: throw refusal("is a socket, a file was expected")
      default: throw refusal("is a block device, whose content would be lost")
      }
    }
    throw refusal("is a link that points to itself")
  }

  /// Checks that an output can be written before any work is done for it; creates nothing and opens no FIFO.
  ///
  /// Throws `.configuration` with the reason.
  package static func requireWritable(_ name: String) throws {
    switch try place(of: name) {
    case .descriptor(let number):
      let flags = fcntl(number, F_GETFL)
      if flags < 0 || flags & O_ACCMODE == O_RDONLY {
        throw RetortError(
          .configuration, "the descriptor \(number) is not open for writing", at: name, remedy: "name a file")
      }
    case .stream(let path):
      if access(path, W_OK) != 0 {
        throw RetortError.ofWriting("cannot be written", name, errno, kind: .configuration)
      }
    case .file(let path):
      if fileExists(path), access(path, W_OK) != 0 {
        throw RetortError(
          .configuration, "the file exists and cannot be written (\(systemErrorText()))", at: name,
          remedy: "change its permissions, or name another file")
      }
      // A file that is dropped without a commit removes itself.
      do { _ = try AtomicFile(path) } catch {
        var error = RetortError.wrap(error)
        error.kind = .configuration
        throw error
      }
    }
  }

  /// The n of `/dev/fd/n` and `/proc/self/fd/n`; nil for other names. `/dev/stdout` links to one of them.
  private static func descriptorNumber(_ path: String) -> Int32? {
    guard let number = Int32(fileName(of: path)), number >= 0 else { return nil }
    let parent = parentDirectory(of: path)
    guard !parent.isEmpty, let real = realpath(parent, nil) else { return nil }
    defer { free(real) }
    return String(cString: real) == "/proc/\(getpid())/fd" ? number : nil
  }

  private static func linkTarget(_ path: String) -> String? {
    var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX) + 1)
    let count = bytes.withUnsafeMutableBytes { room in
      room.baseAddress.map { readlink(path, $0.assumingMemoryBound(to: CChar.self), room.count) } ?? -1
    }
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }
}
