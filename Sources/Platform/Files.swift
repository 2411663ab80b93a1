import Foundation

#if canImport(Glibc)
  import Glibc
#endif

/// The text of the current `errno`.
public func systemErrorText(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }

/// Whether there is a file or directory of this name; links are followed.
public func fileExists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// Why there seems to be no file of a name: it is "not there", or a directory on the way may not be entered.
public func absenceText(_ path: String) -> String {
  if access(path, F_OK) == 0 || errno == ENOENT || errno == ENOTDIR { return "not there" }
  return systemErrorText().lowercased()
}

/// Whether there is a directory of this name; links are followed.
public func isDirectory(_ path: String) -> Bool {
  var info = stat()
  return stat(path, &info) == 0 && (info.st_mode & S_IFMT) == S_IFDIR
}

/// Number, size and time of a file: names that have all three in common stand for one file, on whatever node they are.
/// Throws `.input` with the system's reason.
public func fileIdentity(_ path: String) throws -> String {
  var info = stat()
  guard stat(path, &info) == 0 else {
    throw RetortError(.input, "cannot read the file (\(systemErrorText()))", at: path)
  }
  return "\(info.st_ino) \(info.st_size) \(info.st_mtim.tv_sec).\(info.st_mtim.tv_nsec)"
}

/// Whether two names are of one file that exists; links are followed.
public func isSameFile(_ a: String, _ b: String) -> Bool {
  guard let first = realpath(a, nil), let second = realpath(b, nil) else { return false }
  defer {
    free(first)
    free(second)
  }
  return strcmp(first, second) == 0
}

/// `base/name`, or `name` alone where it is absolute.
public func joinPath(_ base: String, _ name: String) -> String {
  if name.hasPrefix("/") || base.isEmpty { return name }
  return base.hasSuffix("/") ? base + name : base + "/" + name
}

/// The path without its last name: "a" of "a/b", "/" of "/a", empty for a name alone.
public func parentDirectory(of path: String) -> String {
  // Foundation's own traps on a name of one character.
  let path = withoutTrailingSlashes(path[...])
  guard let slash = path.lastIndex(of: "/") else { return "" }
  return String(withoutTrailingSlashes(path[...slash]))
}

/// The last name of a path: "b" of "a/b" and of "a/b/".
public func fileName(of path: String) -> String {
  let path = withoutTrailingSlashes(path[...])
  guard path != "/", let slash = path.lastIndex(of: "/") else { return String(path) }
  return String(path[path.index(after: slash)...])
}

/// At least one character is left.
private func withoutTrailingSlashes(_ path: Substring) -> Substring {
  var path = path
  while path.count > 1, path.hasSuffix("/") { path.removeLast() }
  return path
}

/// The names in a directory, sorted; throws `.input` where it cannot be read.
public func listDirectory(_ path: String) throws -> [String] {
  do { return try FileManager.default.contentsOfDirectory(atPath: path).sorted() } catch {
    let code = access(path, R_OK | X_OK) != 0 ? errno : isDirectory(path) ? EIO : ENOTDIR
    throw RetortError(.input, "cannot list the directory (\(systemErrorText(code)))", at: path)
  }
}

/// A descriptor of a regular file, open for reading; never waits.
///
/// Throws `.input` with the system's reason, and for a directory, FIFO, socket or device, which could block for ever.
public func openRegularFile(_ path: String) throws -> (descriptor: Int32, size: Int) {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
  guard descriptor >= 0 else {
    // Of a socket, and of a device without a driver.
    let what =
      errno == ENXIO ? "is a socket or a device, a file was expected" : "cannot open the file (\(systemErrorText()))"
    throw RetortError(.input, what, at: path)
  }
  var info = stat()
  guard fstat(descriptor, &info) == 0, (info.st_mode & S_IFMT) == S_IFREG else {
    close(descriptor)
    throw RetortError(
      .input, "is \(fileKind(info.st_mode)), a file was expected", at: path, remedy: "give the path of a regular file")
  }
  return (descriptor, Int(info.st_size))
}

/// What a file's mode says that it is, for messages.
private func fileKind(_ mode: mode_t) -> String {
  switch mode & S_IFMT {
  case S_IFDIR: "a directory"
  case S_IFIFO: "a FIFO"
  case S_IFSOCK: "a socket"
  case S_IFCHR, S_IFBLK: "a device"
  default: "no regular file"
  }
}

/// A whole regular file in memory.
///
/// Throws `.input` with the system's reason, and for what is no regular file; the error of `OutOfMemory` for a file
/// that has no room.
public func readFile(_ path: String) throws -> Data {
  let (descriptor, size) = try openRegularFile(path)
  defer { close(descriptor) }
  if size == 0 { return Data() }
  let memory = try OutOfMemory.allocate(
    bytes: size, for: "the content of \(path)", remedy: "this file is far larger than its kind ever is; check it")
  var count = 0
  while count < size {
    let got = read(descriptor, memory + count, min(size - count, 1 << 30))
    if got < 0, errno == EINTR { continue }
    if got <= 0 {
      let reason = got < 0 ? systemErrorText() : "it has become shorter"
      free(memory)
      throw RetortError(.input, "read \(count) of \(size) bytes (\(reason))", at: path)
    }
    count += got
  }
  return Data(bytesNoCopy: memory, count: size, deallocator: .free)
}

/// Makes a directory with its parents; throws `.checkpoint`, since only outputs make directories.
///
/// - Parameter permissions: of the directory itself where it is made; its parents get those that the process's mask
///   leaves.
public func makeDirectory(_ path: String, permissions: mode_t = 0o777) throws {
  if isDirectory(path) { return }
  let parent = parentDirectory(of: path)
  if !parent.isEmpty, parent != path { try makeDirectory(parent) }
  // Another rank may have made it in the meantime.
  if mkdir(path, permissions) != 0 {
    // The look at what is there has an error of its own.
    let code = errno
    if !isDirectory(path) { throw RetortError.ofWriting("cannot make the directory", path, code) }
  }
}

/// Throws `.checkpoint` where files could not be made in a directory, or the directory itself could not; leaves nothing
/// behind.
public func requireWritable(directory path: String) throws {
  var nearest = path
  while !fileExists(nearest) {
    let parent = parentDirectory(of: nearest)
    nearest = parent.isEmpty ? "." : parent
  }
  guard isDirectory(nearest) else {
    throw RetortError(
      .checkpoint, "\(nearest) is a file, so there can be no directory", at: path,
      remedy: "choose another output directory")
  }
  if access(nearest, W_OK | X_OK) != 0 { throw RetortError.ofWriting("cannot make the directory", path, errno) }
  // Permissions do not tell all: /proc, quotas, mounts that have turned read-only. A directory that is made and removed
  // does.
  let probe = joinPath(nearest, ".retort-\(getpid())-\(UInt32.random(in: 0 ... .max))")
  if mkdir(probe, 0o700) == 0 {
    rmdir(probe)
  } else if errno != ENOSPC, errno != EDQUOT {
    // Where there is no room for a directory, what is committed already needs none.
    throw RetortError.ofWriting("cannot make the directory", path, errno)
  }
}

/// Writes a file so that a reader sees the old one or the whole new one: temporary name, fsync, rename.
///
/// - Parameter flushing: false where another flushes what lies in the directory before it counts.
public func writeFileAtomically(_ path: String, _ data: Data, flushing: Bool = true) throws {
  let file = try AtomicFile(path)
  try data.withUnsafeBytes { try file.write($0) }
  try file.commit(flushing: flushing)
}

/// Writes text so that a reader sees the old file or the whole new one.
public func writeFileAtomically(_ path: String, _ text: String, flushing: Bool = true) throws {
  try writeFileAtomically(path, Data(text.utf8), flushing: flushing)
}

/// A file under a temporary name that takes its real name at `commit`, after its bytes are on disk.
///
/// Dropped without `commit`, it leaves nothing behind.
public final class AtomicFile {
  /// The name that the file takes at `commit`.
  public let path: String
  private let temporary: String
  private var descriptor: Int32
  /// Bytes appended so far.
  private var count = 0
  /// Whether the file was another before, and may be longer than what is appended.
  private var isReused = false

  /// Makes the temporary file beside `path`; throws `.checkpoint` with the system's reason.
  ///
  /// - Parameters:
  ///   - permissions: of the file, less the process's mask.
  ///   - spare: an unused file of the same file system. It becomes the temporary one, so that the
  ///     system neither gives back its blocks and pages nor looks for new ones; a file with another name is left alone.
  public init(_ path: String, permissions: mode_t = 0o644, reusing spare: String? = nil) throws {
    self.path = path
    // A name has at most 255 bytes, also the temporary one of a name that has nearly as many.
    let name = fileName(of: path)
    let start = name.utf8.count <= 200 ? path : joinPath(parentDirectory(of: path), String(name.prefix(40)))
    temporary = "\(start).\(getpid()).\(UInt32.random(in: 0 ... .max)).tmp"
    descriptor = -1
    if let spare, AtomicFile.isReusable(spare), rename(spare, temporary) == 0 {
      descriptor = open(temporary, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
      isReused = descriptor >= 0
      if isReused { return }
      unlink(temporary)
    }
    descriptor = open(temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, permissions)
    if descriptor < 0 { throw RetortError.ofWriting("cannot create the file", path, errno) }
  }

  /// Appends bytes.
  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    let code = writeAll(bytes, to: descriptor)
    if code != 0 { throw RetortError.ofWriting("cannot write", path, code) }
    count += bytes.count
  }

  /// Whether a file is regular, writable and has no other name, by which its content may be wanted.
  private static func isReusable(_ path: String) -> Bool {
    var info = stat()
    return lstat(path, &info) == 0 && (info.st_mode & S_IFMT) == S_IFREG && info.st_nlink == 1
      && access(path, W_OK) == 0
  }

  /// Overwrites bytes at an offset, for headers that are known last.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    guard pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(offset)) == bytes.count else {
      throw RetortError.ofWriting("cannot write", path, errno)
    }
  }

  /// Gives the file the permissions, and where that is allowed the owner, of the one that it will replace.
  public func keepAttributes(of replaced: String) {
    var info = stat()
    if stat(replaced, &info) != 0 { return }
    // The owner first: a change of owner takes permissions away.
    _ = fchown(descriptor, info.st_uid, info.st_gid)
    fchmod(descriptor, info.st_mode & 0o7777)
  }

  /// Flushes to disk and gives the file its name.
  ///
  /// - Parameter flushing: false where another flushes what lies in the directory before it counts.
  public func commit(flushing: Bool = true) throws {
    if isReused, ftruncate(descriptor, off_t(count)) != 0 {
      throw RetortError.ofWriting("cannot shorten", path, errno)
    }
    guard !flushing || flushToDisk(descriptor) == 0 else {
      throw RetortError.ofWriting("cannot flush", path, errno)
    }
    // Named before it is closed: what is dropped without a name is removed by `deinit`.
    guard rename(temporary, path) == 0 else { throw RetortError.ofWriting("cannot rename to", path, errno) }
    close(descriptor)
    descriptor = -1
    guard flushing else { return }
    // The rename itself must survive a power cut.
    let parent = parentDirectory(of: path)
    let folder = open(parent.isEmpty ? "." : parent, O_RDONLY)
    if folder >= 0 {
      fsync(folder)
      close(folder)
    }
  }

  deinit {
    if descriptor >= 0 {
      close(descriptor)
      unlink(temporary)
    }
  }
}

/// A file's bytes mapped read-only into memory; unmapped when the last holder lets go.
public final class MappedFile: @unchecked Sendable {
  /// The path that the file was opened by.
  public let path: String
  /// The whole content, valid while this object lives; without a base address for an empty file.
  public let bytes: UnsafeRawBufferPointer

  /// What came through a pipe; nil for a file.
  private let streamed: StreamContents.Bytes?
  private let mapping: Faults.Mapping?
  private let identity: (device: UInt64, number: UInt64)

  /// Maps a regular file, or gives what `StreamContents` keeps by this name; throws `.input` with the system's
  /// reason.
  public init(_ path: String) throws {
    self.path = path
    streamed = StreamContents.content(of: path)
    if let streamed {
      bytes = streamed.bytes
      mapping = nil
      identity = (0, 0)
      return
    }
    let (descriptor, size) = try openRegularFile(path)
    defer { close(descriptor) }
    var info = stat()
    fstat(descriptor, &info)
    identity = (UInt64(info.st_dev), UInt64(info.st_ino))
    if size == 0 {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      mapping = nil
      return
    }
    guard let address = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), address != MAP_FAILED else {
      if errno == ENOMEM { throw OutOfMemory.error(bytes: size, for: "the addresses of \(path)") }
      throw RetortError(.input, "cannot map the file into memory (\(systemErrorText()))", at: path)
    }
    bytes = UnsafeRawBufferPointer(start: address, count: size)
    mapping = Faults.Mapping(address, bytes: size, path: path)
  }

  /// Tells the file that is mapped from another of the same name.
  public var inode: String { "\(identity.device) \(identity.number)" }

  deinit {
    if streamed != nil { return }
    if let address = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: address), bytes.count) }
  }
}
