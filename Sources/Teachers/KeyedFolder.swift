import Datasets
import Foundation
import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// The folder of one key among those of all keys, held by a shared lock while it is used.
///
///     ROOT/KEY/lock       users hold a shared lock on it; its time of change is that of the last use
///     ROOT/KEY/*.sig      segments of signals
///     ROOT/KEY/weights    the weights of a teacher
final class KeyedFolder {
  /// The folder of the key.
  let path: String
  private let root: String
  private let lock: Int32
  /// Ends the name of a folder that is being removed.
  private static let grave = ".removed"

  /// Makes the folder if needed, and holds it against removal; throws with the system's reason.
  init(root: String, key: String) throws {
    self.root = root
    path = joinPath(root, key)
    lock = try KeyedFolder.hold(path)
    futimens(lock, nil)
    CacheDirectory.sweep(path)
  }

  deinit { close(lock) }

  /// Bytes of all keys together.
  func totalBytes() -> Int { KeyedFolder.keys(in: root).reduce(0) { $0 + KeyedFolder.bytes(of: $1) } }

  /// Removes other keys that nobody holds, least recently used first, until `needed` bytes more fit under the limit.
  func makeRoom(for needed: Int, limit: Int) {
    // What a process that was killed while it removed has left.
    for name in (try? listDirectory(root)) ?? [] where name.hasSuffix(KeyedFolder.grave) {
      try? FileManager.default.removeItem(atPath: joinPath(root, name))
    }
    let sizes = KeyedFolder.keys(in: root).map { ($0, KeyedFolder.bytes(of: $0)) }
    let own = sizes.first { $0.0 == path }?.1 ?? 0
    var total = sizes.reduce(0) { $0 + $1.1 } + max(0, needed - own)
    let others = sizes.filter { $0.0 != path }.map { ($0.0, $0.1, KeyedFolder.lastUse(of: $0.0)) }
    for (folder, bytes, _) in others.sorted(by: { $0.2 < $1.2 }) where total > limit {
      if KeyedFolder.removeIfUnused(folder) { total -= bytes }
    }
  }

  /// A descriptor with a shared lock on a folder that is still there.
  private static func hold(_ path: String) throws -> Int32 {
    let file = joinPath(path, "lock")
    for _ in 0..<16 {
      try makeDirectory(path)
      let descriptor = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0o644)
      if descriptor < 0 {
        // Between the two calls somebody may have removed the folder.
        if errno == ENOENT { continue }
        throw RetortError(.checkpoint, "cannot open the lock (\(systemErrorText()))", at: file)
      }
      // A file system without locks still serves: whoever cannot lock removes nothing either.
      _ = flock(descriptor, LOCK_SH)
      if isSame(descriptor, file) { return descriptor }
      close(descriptor)
    }
    throw RetortError(.checkpoint, "cannot hold the folder: it is removed again and again", at: path)
  }

  /// Whether the open file still has this name.
  private static func isSame(_ descriptor: Int32, _ path: String) -> Bool {
    var (own, named) = (stat(), stat())
    return fstat(descriptor, &own) == 0 && stat(path, &named) == 0 && own.st_ino == named.st_ino
      && own.st_dev == named.st_dev
  }

  private static func removeIfUnused(_ folder: String) -> Bool {
    let file = joinPath(folder, "lock")
    let descriptor = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, isSame(descriptor, file) else { return false }
    // Under another name first: nobody finds it half removed.
    guard rename(folder, folder + grave) == 0 else { return false }
    return (try? FileManager.default.removeItem(atPath: folder + grave)) != nil
  }

  private static func keys(in root: String) -> [String] {
    let names = (try? listDirectory(root)) ?? []
    return names.filter { $0.utf8.count == 64 && $0.allSatisfy(\.isHexDigit) }.map { joinPath(root, $0) }
  }

  private static func bytes(of folder: String) -> Int {
    ((try? listDirectory(folder)) ?? []).reduce(0) { total, name in
      var info = stat()
      return stat(joinPath(folder, name), &info) == 0 ? total + Int(info.st_size) : total
    }
  }

  private static func lastUse(of folder: String) -> Double {
    var info = stat()
    guard stat(joinPath(folder, "lock"), &info) == 0 else { return 0 }
    return Double(info.st_mtim.tv_sec) + Double(info.st_mtim.tv_nsec) * 1e-9
  }
}
