import Foundation
import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// The folder of one key in a folder of keys, held by a shared lock while it is used.
///
///     ROOT/KEY/lock         users hold a shared lock on it; its modification time is the time of last use
///     ROOT/KEY/about.json   what the key belongs to, for people
///     ROOT/KEY/tokens       the tokens of a data file
///     ROOT/KEY/*.sig        segments of signals
///     ROOT/KEY/weights      the weights of a teacher
///
/// Roots in one directory with the names of `CacheDirectory.kinds` share one limit. Folders (0700) and files (0600) are
/// private to the user.
package final class KeyedFolder: @unchecked Sendable {
  // Unchecked: nothing changes after `init`.
  /// The folder of the key.
  package let path: String
  private let root: String
  private let lock: Int32
  /// The name of the file that records what a key belongs to.
  static let aboutName = "about.json"
  /// The suffix of a folder that is being removed.
  private static let grave = ".removed"

  /// Creates the folder if needed, and holds it so that it is not removed.
  ///
  /// - Parameter about: what the key belongs to, for `retort cache list`.
  /// Throws `.checkpoint` with the system's reason, and for a root that is not private to the user.
  package init(root: String, key: String, about: String? = nil) throws {
    try CacheDirectory.secure(root)
    self.root = root
    path = joinPath(root, key)
    lock = try KeyedFolder.hold(path)
    futimens(lock, nil)
    KeyedFolder.tighten(path)
    CacheDirectory.sweep(path)
    if let about { describe(about) }
  }

  deinit { close(lock) }

  /// The bytes of all keys, including the keys of neighbouring roots.
  package func totalBytes() -> Int { allKeys().reduce(0) { $0 + KeyedFolder.bytes(of: $1) } }

  /// Removes other keys without a holder, least recently used first, until `needed` more bytes fit within the limit.
  package func makeRoom(for needed: Int, limit: Int) {
    let roots = KeyedFolder.roots(beside: root)
    roots.forEach(KeyedFolder.clearGraves)
    let sizes = allKeys().map { ($0, KeyedFolder.bytes(of: $0)) }
    let own = sizes.first { $0.0 == path }?.1 ?? 0
    var total = sizes.reduce(0) { $0 + $1.1 } + max(0, needed - own)
    let others = sizes.filter { $0.0 != path }.map { ($0.0, $0.1, KeyedFolder.lastUse(of: $0.0)) }
    for (folder, bytes, _) in others.sorted(by: { $0.2 < $1.2 }) where total > limit {
      if KeyedFolder.removeIfUnused(folder) { total -= bytes }
    }
  }

  /// Removes the folder if it has no data and no other process holds it, for a process that failed to write any.
  package func discardIfEmpty() {
    let names = (try? listDirectory(path)) ?? []
    guard names.allSatisfy({ $0 == "lock" || $0 == KeyedFolder.aboutName }) else { return }
    if flock(lock, LOCK_EX | LOCK_NB) == 0 { _ = KeyedFolder.bury(path) }
  }

  private func allKeys() -> [String] { KeyedFolder.roots(beside: root).flatMap(KeyedFolder.keys) }

  /// The roots that share a limit: `root` and the roots of the other kinds next to it.
  private static func roots(beside root: String) -> [String] {
    guard CacheDirectory.kinds.contains(fileName(of: root)) else { return [root] }
    let parent = parentDirectory(of: root)
    return CacheDirectory.kinds.map { joinPath(parent, $0) }
  }

  /// Removes folders whose removal was interrupted because the process was killed.
  static func clearGraves(in root: String) {
    for name in (try? listDirectory(root)) ?? [] where name.hasSuffix(KeyedFolder.grave) {
      try? FileManager.default.removeItem(atPath: joinPath(root, name))
    }
  }

  /// Removes the permissions of other users on a folder that an earlier version wrote, and on its files.
  private static func tighten(_ folder: String) {
    chmod(folder, 0o700)
    for name in (try? listDirectory(folder)) ?? [] {
      let file = joinPath(folder, name)
      var info = stat()
      if stat(file, &info) == 0, info.st_mode & 0o077 != 0 { chmod(file, info.st_mode & 0o700) }
    }
  }

  private func describe(_ about: String) {
    let file = joinPath(path, KeyedFolder.aboutName)
    if fileExists(file) { return }
    // The record is for people only, so errors are ignored.
    guard let written = try? AtomicFile(file, permissions: 0o600) else { return }
    let text = JSON.object(["about": .string(about)]).text()
    if (try? Array(text.utf8).withUnsafeBytes(written.write)) != nil { try? written.commit() }
  }

  /// A descriptor with a shared lock on a folder that still exists.
  private static func hold(_ path: String) throws -> Int32 {
    let file = joinPath(path, "lock")
    for _ in 0..<16 {
      try makeDirectory(path, permissions: 0o700)
      let descriptor = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
      if descriptor < 0 {
        // Another process may have removed the folder between the two calls.
        if errno == ENOENT { continue }
        throw RetortError(.checkpoint, "cannot open the lock (\(systemErrorText()))", at: file)
      }
      // A file system without locks is usable: a process that cannot lock does not remove keys either.
      _ = Activity.waitingOutside { flock(descriptor, LOCK_SH) }
      if isSame(descriptor, file) { return descriptor }
      close(descriptor)
    }
    throw RetortError(.checkpoint, "cannot hold the folder: it is removed again and again", at: path)
  }

  /// Whether the path still refers to the open file.
  private static func isSame(_ descriptor: Int32, _ path: String) -> Bool {
    var (own, named) = (stat(), stat())
    return fstat(descriptor, &own) == 0 && stat(path, &named) == 0 && own.st_ino == named.st_ino
      && own.st_dev == named.st_dev
  }

  /// Removes a key that no process holds; returns whether it is removed.
  static func removeIfUnused(_ folder: String) -> Bool {
    // A token file of an earlier version has no lock; processes that have mapped it keep it.
    if !isDirectory(folder) { return unlink(folder) == 0 }
    let file = joinPath(folder, "lock")
    let descriptor = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, isSame(descriptor, file) else { return false }
    return bury(folder)
  }

  /// Whether a process holds a key.
  static func isUsed(_ folder: String) -> Bool {
    let descriptor = open(joinPath(folder, "lock"), O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return flock(descriptor, LOCK_EX | LOCK_NB) != 0
  }

  /// Renames the folder and then removes it, so that no process finds it partly removed; returns whether it is removed.
  private static func bury(_ folder: String) -> Bool {
    guard rename(folder, folder + grave) == 0 else { return false }
    return (try? FileManager.default.removeItem(atPath: folder + grave)) != nil
  }

  /// The folders of keys, and the token files of earlier versions, which have no folder.
  static func keys(in root: String) -> [String] {
    let names = (try? listDirectory(root)) ?? []
    return names.filter { name in
      let key = name.hasSuffix(".tokens") ? name.dropLast(".tokens".count) : name[...]
      return key.utf8.count == 64 && key.allSatisfy(\.isHexDigit)
    }.map { joinPath(root, $0) }
  }

  static func bytes(of folder: String) -> Int {
    var info = stat()
    if !isDirectory(folder) { return stat(folder, &info) == 0 ? Int(info.st_size) : 0 }
    return ((try? listDirectory(folder)) ?? []).reduce(0) { total, name in
      stat(joinPath(folder, name), &info) == 0 ? total + Int(info.st_size) : total
    }
  }

  /// The time of last use, in seconds since 1970.
  static func lastUse(of folder: String) -> Double {
    var info = stat()
    guard stat(isDirectory(folder) ? joinPath(folder, "lock") : folder, &info) == 0 else { return 0 }
    return Double(info.st_mtim.tv_sec) + Double(info.st_mtim.tv_nsec) * 1e-9
  }
}
