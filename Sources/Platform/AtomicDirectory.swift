import CSystem
import Foundation

#if canImport(Glibc)
  import Glibc
#endif

/// A directory with a temporary name that is flushed and renamed to its final name by `commit`.
///
/// A reader sees the old directory or the whole new one. A directory that is dropped without `commit` is removed;
/// `sweep` removes those that killed processes have left, which it finds by their ending.
package final class AtomicDirectory: @unchecked Sendable {
  // Unchecked: the thread that fills it passes it to the one that commits it; only one thread uses it at a time.
  /// The ending of temporary names.
  package static let ending = ".tmp"
  /// The final name, which `commit` gives the directory.
  package let path: String
  /// The name until then; files are created here.
  package let temporary: String
  private var isCommitted = false

  /// Creates the temporary directory beside `path`, with its parents; throws `.checkpoint` with the system's reason.
  package init(_ path: String) throws {
    self.path = path
    temporary = "\(path).\(getpid()).\(UInt32.random(in: 0 ... .max))\(AtomicDirectory.ending)"
    try makeDirectory(temporary)
  }

  deinit { if !isCommitted { try? FileManager.default.removeItem(atPath: temporary) } }

  /// Flushes all files, writes the manifest of the `listed` ones, and renames the directory to `path`.
  ///
  /// An existing directory of that name is exchanged with the new one atomically if the file system supports it, and
  /// then removed. Throws `.checkpoint`.
  ///
  /// - Parameters:
  ///   - listed: the files of the manifest.
  ///   - known: entries that the manifest takes as given, so that later damage to those files is detected.
  ///   - facts: values that the manifest stores beside the files.
  ///   - fence: checked before the rename.
  package func commit(
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

  /// Removes the temporary directories that killed processes have left in a directory.
  package static func sweep(_ directory: String) {
    for name in (try? listDirectory(directory)) ?? [] where name.hasSuffix(ending) {
      try? FileManager.default.removeItem(atPath: joinPath(directory, name))
    }
  }

  /// Renames a directory to `path`; the directory that had this name is removed afterwards.
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
    // NFS and others cannot exchange names: for a moment neither directory has the name. Older checkpoints remain.
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

  /// Flushes a file or directory to the disk; throws `.checkpoint`.
  private static func flush(_ path: String) throws {
    let descriptor = open(path.isEmpty ? "." : path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw RetortError(.checkpoint, "cannot open it to flush it (\(systemErrorText()))", at: path)
    }
    defer { close(descriptor) }
    // Some file systems cannot flush directories and return EINVAL.
    if flushToDisk(descriptor) != 0, errno != EINVAL {
      throw RetortError(
        .checkpoint, "cannot flush (\(systemErrorText()))", at: path, remedy: "check the disk and its free space")
    }
  }
}
