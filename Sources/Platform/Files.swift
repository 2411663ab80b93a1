import Foundation

#if canImport(Glibc)
  import Glibc
#endif

/// The text of the current `errno`.
package func systemErrorText(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }

/// Whether a file or directory of this name exists; links are followed.
package func fileExists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// Why a file seems to be missing: it "does not exist", or a directory on its path cannot be searched.
package func absenceText(_ path: String) -> String {
  if access(path, F_OK) == 0 || errno == ENOENT || errno == ENOTDIR { return "does not exist" }
  return systemErrorText().lowercased()
}

/// Whether a directory of this name exists; links are followed.
package func isDirectory(_ path: String) -> Bool {
  var info = stat()
  return stat(path, &info) == 0 && (info.st_mode & S_IFMT) == S_IFDIR
}

/// The inode, size and modification time of a file: paths for which all three are equal name the same file, also on
/// different nodes. Throws `.input` with the system's reason.
package func fileIdentity(_ path: String) throws -> String {
  var info = stat()
  guard stat(path, &info) == 0 else {
    throw RetortError(.input, "cannot read the file (\(systemErrorText()))", at: path)
  }
  return "\(info.st_ino) \(info.st_size) \(info.st_mtim.tv_sec).\(info.st_mtim.tv_nsec)"
}

/// Whether two names refer to one existing file; links are followed.
package func isSameFile(_ a: String, _ b: String) -> Bool {
  guard let first = realpath(a, nil), let second = realpath(b, nil) else { return false }
  defer {
    free(first)
    free(second)
  }
  return strcmp(first, second) == 0
}

/// `base/name`, or `name` alone if it is absolute.
package func joinPath(_ base: String, _ name: String) -> String {
  if name.hasPrefix("/") || base.isEmpty { return name }
  return base.hasSuffix("/") ? base + name : base + "/" + name
}

/// The path without its last name: "a" of "a/b", "/" of "/a", empty for a name alone.
package func parentDirectory(of path: String) -> String {
  // Foundation's function traps on a name of one character.
  let path = withoutTrailingSlashes(path[...])
  guard let slash = path.lastIndex(of: "/") else { return "" }
  return String(withoutTrailingSlashes(path[...slash]))
}

/// The last name of a path: "b" of "a/b" and of "a/b/".
package func fileName(of path: String) -> String {
  let path = withoutTrailingSlashes(path[...])
  guard path != "/", let slash = path.lastIndex(of: "/") else { return String(path) }
  return String(path[path.index(after: slash)...])
}

/// The path without slashes at its end; "/" stays.
private func withoutTrailingSlashes(_ path: Substring) -> Substring {
  var path = path
  while path.count > 1, path.hasSuffix("/") { path.removeLast() }
  return path
}

/// The names in a directory, sorted; throws `.input` if it cannot be read.
package func listDirectory(_ path: String) throws -> [String] {
  do { return try FileManager.default.contentsOfDirectory(atPath: path).sorted() } catch {
    let code = access(path, R_OK | X_OK) != 0 ? errno : isDirectory(path) ? EIO : ENOTDIR
    throw RetortError(.input, "cannot list the directory (\(systemErrorText(code)))", at: path)
  }
}

/// Opens a regular file for reading; never blocks.
///
/// Throws `.input` with the system's reason, and for a directory, FIFO, socket or device, which could block forever.
package func openRegularFile(_ path: String) throws -> (descriptor: Int32, size: Int) {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
  guard descriptor >= 0 else {
    // ENXIO means a socket or a device without a driver.
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

/// The kind of file that a mode describes, for messages.
private func fileKind(_ mode: mode_t) -> String {
  switch mode & S_IFMT {
  case S_IFDIR: "a directory"
  case S_IFIFO: "a FIFO"
  case S_IFSOCK: "a socket"
  case S_IFCHR, S_IFBLK: "a device"
  default: "no regular file"
  }
}

/// Reads a whole regular file into memory.
///
/// Throws `.input` with the system's reason or if it is not a regular file, and the error of `OutOfMemory` if the file
/// does not fit into memory.
package func readFile(_ path: String) throws -> Data {
  let (descriptor, size) = try openRegularFile(path)
  defer { close(descriptor) }
  if size == 0 { return Data() }
  let memory = try OutOfMemory.allocate(
    bytes: size, for: "the content of \(path)", remedy: "check this file: it is far larger than files of its kind")
  var count = 0
  while count < size {
    let got = read(descriptor, memory + count, min(size - count, 1 << 30))
    if got < 0, errno == EINTR { continue }
    if got <= 0 {
      let reason = got < 0 ? systemErrorText() : "the file has become shorter"
      free(memory)
      throw RetortError(.input, "read \(count) of \(size) bytes (\(reason))", at: path)
    }
    count += got
  }
  return Data(bytesNoCopy: memory, count: size, deallocator: .free)
}

/// Creates a directory with its parents; throws `.checkpoint`, since only outputs create directories.
///
/// - Parameter permissions: for the directory itself if it is created; its parents get 0777 less the umask.
package func makeDirectory(_ path: String, permissions: mode_t = 0o777) throws {
  if isDirectory(path) { return }
  let parent = parentDirectory(of: path)
  if !parent.isEmpty, parent != path { try makeDirectory(parent) }
  // Another rank may have made it in the meantime.
  if mkdir(path, permissions) != 0 {
    // isDirectory below changes errno.
    let code = errno
    if !isDirectory(path) { throw RetortError.ofWriting("cannot make the directory", path, code) }
  }
}

/// Throws `.checkpoint` if files cannot be created in a directory, or the directory itself cannot; changes nothing.
package func requireWritable(directory path: String) throws {
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
  // Permissions alone are not enough (/proc, quotas, mounts that have turned read-only): create and remove a directory.
  let probe = joinPath(nearest, ".retort-\(getpid())-\(UInt32.random(in: 0 ... .max))")
  if mkdir(probe, 0o700) == 0 {
    rmdir(probe)
  } else if errno != ENOSPC, errno != EDQUOT {
    // A full disk is accepted here: what is already committed needs no more room.
    throw RetortError.ofWriting("cannot make the directory", path, errno)
  }
}

/// Writes a file so that a reader sees the old one or the whole new one: temporary name, fsync, rename.
///
/// - Parameter flushing: false if other code flushes the directory's files before they are used.
package func writeFileAtomically(_ path: String, _ data: Data, flushing: Bool = true) throws {
  let file = try AtomicFile(path)
  try data.withUnsafeBytes { try file.write($0) }
  try file.commit(flushing: flushing)
}

/// Writes text so that a reader sees the old file or the whole new one.
package func writeFileAtomically(_ path: String, _ text: String, flushing: Bool = true) throws {
  try writeFileAtomically(path, Data(text.utf8), flushing: flushing)
}

/// A file with a temporary name that is flushed and renamed to its final name by `commit`.
///
/// A file that is dropped without `commit` removes itself.
package final class AtomicFile {
  /// The final name, which `commit` gives the file.
  package let path: String
  private let temporary: String
  private var descriptor: Int32
  /// Bytes appended so far.
  private var count = 0
  /// Whether the file is a reused one, and may be longer than the appended bytes.
  private var isReused = false
  /// The checksum of the appended bytes, if it is computed.
  private var checksum: Checksum?

  /// The size and the checksum of the appended bytes; nil if none is computed.
  package var entry: FileManifest.Entry? {
    checksum.map { FileManifest.Entry(bytes: count, checksum: $0.value) }
  }

  /// Creates the temporary file beside `path`; throws `.checkpoint` with the system's reason.
  ///
  /// - Parameters:
  ///   - permissions: for the file, less the umask.
  ///   - spare: an unused file on the same file system. It becomes the temporary file, so that the system neither
  ///     frees its blocks and pages nor allocates new ones; a file with further hard links is not used.
  ///   - checking: whether to compute a checksum of the appended bytes.
  package init(
    _ path: String, permissions: mode_t = 0o644, reusing spare: String? = nil, checking: Bool = false
  ) throws {
    self.path = path
    if checking { checksum = Checksum() }
    // A file name has at most 255 bytes, so a long name is shortened before the suffix is added.
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
  package func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard checksum != nil else { return try append(bytes) }
    // In pieces that are still in the cache when they are written.
    for start in stride(from: 0, to: bytes.count, by: AtomicFile.piece) {
      let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + AtomicFile.piece)])
      checksum?.update(piece)
      try append(piece)
      Activity.tick()
    }
  }

  private static let piece = 1 << 19

  private func append(_ bytes: UnsafeRawBufferPointer) throws {
    let code = writeAll(bytes, to: descriptor)
    if code != 0 { throw RetortError.ofWriting("cannot write", path, code) }
    count += bytes.count
  }

  /// Whether a file is regular, writable and has no other hard link, through which its content may be in use.
  private static func isReusable(_ path: String) -> Bool {
    var info = stat()
    return lstat(path, &info) == 0 && (info.st_mode & S_IFMT) == S_IFREG && info.st_nlink == 1
      && access(path, W_OK) == 0
  }

  /// Overwrites bytes at an offset, for headers that are complete only at the end.
  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    guard pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(offset)) == bytes.count else {
      throw RetortError.ofWriting("cannot write", path, errno)
    }
  }

  /// Gives the file the permissions and, if allowed, the owner of the file that it replaces.
  package func keepAttributes(of replaced: String) {
    var info = stat()
    if stat(replaced, &info) != 0 { return }
    // The owner comes first, since a change of owner clears permission bits.
    _ = fchown(descriptor, info.st_uid, info.st_gid)
    fchmod(descriptor, info.st_mode & 0o7777)
  }

  /// Flushes the file and renames it to its final name.
  ///
  /// - Parameter flushing: false if other code flushes the directory's files before they are used.
  package func commit(flushing: Bool = true) throws {
    if isReused, ftruncate(descriptor, off_t(count)) != 0 {
      throw RetortError.ofWriting("cannot shorten", path, errno)
    }
    guard !flushing || flushToDisk(descriptor) == 0 else {
      throw RetortError.ofWriting("cannot flush", path, errno)
    }
    // Renamed before it is closed: `deinit` removes the temporary file while the descriptor is open.
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

/// A file mapped read-only into memory; unmapped with the last reference.
package final class MappedFile: @unchecked Sendable {
  /// The path that the file was opened by.
  package let path: String
  /// The whole content, valid while this object lives; an empty file has no base address.
  package let bytes: UnsafeRawBufferPointer

  /// The bytes of a pipe; nil for a file.
  private let streamed: StreamContents.Bytes?
  private let mapping: Faults.Mapping?
  private let identity: (device: UInt64, number: UInt64)

  /// Maps a regular file, or takes the bytes that `StreamContents` keeps under this name; throws `.input` with the
  /// system's reason.
  package init(_ path: String) throws {
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

  /// Device and inode, which distinguish the mapped file from a later one of the same name.
  package var inode: String { "\(identity.device) \(identity.number)" }

  deinit {
    if streamed != nil { return }
    if let address = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: address), bytes.count) }
  }
}
