import CSystem
import Foundation

#if canImport(Glibc)
  import Glibc
#endif

/// A directory under a temporary name that takes its real name at `commit`, whole and on disk.
///
/// A reader sees the old directory or the whole new one. Dropped without `commit`, it leaves nothing behind; what a
/// killed process leaves is found by its ending and removed by `sweep`.
public final class AtomicDirectory: @unchecked Sendable {
  // Unchecked: it is handed from the thread that fills it to the one that commits it, and used by one at a time.
  /// The ending of temporary names.
  public static let ending = ".tmp"
  /// The name that the directory takes at `commit`.
  public let path: String
  /// Its name until then: where its files are made.
  public let temporary: String
  private var isCommitted = false

  /// Makes the temporary directory beside `path`, with its parents; throws `.checkpoint` with the system's reason.
  public init(_ path: String) throws {
    self.path = path
    temporary = "\(path).\(getpid()).\(UInt32.random(in: 0 ... .max))\(AtomicDirectory.ending)"
    try makeDirectory(temporary)
  }

  deinit { if !isCommitted { try? FileManager.default.removeItem(atPath: temporary) } }

  /// Flushes all files, writes the manifest of those that `listed` names, and gives the directory its name.
  ///
  /// A directory that has the name already is exchanged for the new one in one step where the file system can do that,
  /// and removed. Throws `.checkpoint`.
  ///
  /// - Parameters:
  ///   - listed: the files of the manifest.
  ///   - known: entries that are listed as they are given, so that damage since then is found.
  ///   - facts: what the manifest says of the whole.
  ///   - fence: asked before the name is taken.
  public func commit(
    _ listed: [String], known: [String: FileManifest.Entry] = [:], facts: [String: JSON], fence: (any WriteFence)?
  ) throws {
    for name in try listDirectory(temporary) { try AtomicDirectory.flush(joinPath(temporary, name)) }
    try FileManifest(of: temporary, listed, known: known, facts: facts).write(to: temporary)
    try AtomicDirectory.flush(temporary)
    try fence?.requireHeld()
    try AtomicDirectory.replace(path, by: temporary)
    isCommitted = true
    try AtomicDirectory.flush(parentDirectory(of: path))
  }

  /// Removes what killed processes left under temporary names in a directory.
  public static func sweep(_ directory: String) {
    for name in (try? listDirectory(directory)) ?? [] where name.hasSuffix(ending) {
      try? FileManager.default.removeItem(atPath: joinPath(directory, name))
    }
  }

  /// Gives a directory the name `path`; the one that had the name is removed afterwards.
  private static func replace(_ path: String, by temporary: String) throws {
    func failure() -> RetortError {
      RetortError(
        .checkpoint, "cannot rename a directory to it (\(systemErrorText()))", at: path,
        remedy: "check space and permissions there")
    }
    if !fileExists(path) {
      guard rename(temporary, path) == 0 else { throw failure() }
      return
    }
    if rts_exchange_names(temporary, path) == 0 {
      try? FileManager.default.removeItem(atPath: temporary)
      return
    }
    // NFS and others cannot exchange names: for a moment neither has the name, and the older checkpoints stand.
    let old = "\(path).\(getpid()).old\(ending)"
    try? FileManager.default.removeItem(atPath: old)
    guard rename(path, old) == 0 else { throw failure() }
    guard rename(temporary, path) == 0 else {
      let reason = failure()
      rename(old, path)
      throw reason
    }
    try? FileManager.default.removeItem(atPath: old)
  }

  /// Brings a file or directory to the disk; throws `.checkpoint`.
  private static func flush(_ path: String) throws {
    let descriptor = open(path.isEmpty ? "." : path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw RetortError(.checkpoint, "cannot open it to flush it (\(systemErrorText()))", at: path)
    }
    defer { close(descriptor) }
    // Some file systems cannot flush directories, and say EINVAL.
    if flushToDisk(descriptor) != 0, errno != EINVAL {
      throw RetortError(
        .checkpoint, "cannot flush (\(systemErrorText()))", at: path, remedy: "check space and the disk there")
    }
  }
}
