import Foundation
import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// The directory for data that Retort can recompute: tokens, teacher signals and teacher weights.
///
///     ROOT/tokens/KEY/…      the tokens of a data file, see `TokenFile`
///     ROOT/teachers/KEY/…    the signals or the weights of a teacher
///
/// Tokens can be decoded to text, so directories and files are private to the user.
package enum CacheDirectory {
  /// The names of the folders that contain keys.
  package static let kinds = ["tokens", "teachers"]
  /// Maximum bytes of the whole cache, unless the chain sets a limit.
  package static let defaultLimit = 10_000_000_000

  /// RETORT_CACHE, or XDG_CACHE_HOME/retort, or ~/.cache/retort; nil if none of these variables is set, and for
  /// `RETORT_CACHE=off`, which disables the cache.
  package static func path(environment: [String: String] = ProcessInfo.processInfo.environment) -> String? {
    func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    if let path = value("RETORT_CACHE") { return path == "off" ? nil : path }
    if let base = value("XDG_CACHE_HOME") { return joinPath(base, "retort") }
    return value("HOME").map { joinPath($0, ".cache/retort") }
  }

  /// Removes temporary files that a killed run left more than a day ago; ignores files that it cannot remove.
  package static func sweep(_ directory: String) {
    let names = (try? listDirectory(directory)) ?? []
    for name in names where name.hasSuffix(".tmp") {
      let path = joinPath(directory, name)
      var info = stat()
      if stat(path, &info) == 0, time(nil) - info.st_mtim.tv_sec > 86_400 { unlink(path) }
    }
  }

  /// Creates a folder of keys, or checks that an existing one belongs to the user and is not writable by everybody,
  /// and removes the permissions of other users.
  ///
  /// Throws `.checkpoint` for a directory of another user or one that everybody may write to, and if it cannot be made.
  static func secure(_ folder: String) throws {
    // The cache directory is created first, so that it is private from the start.
    if kinds.contains(fileName(of: folder)) {
      let root = parentDirectory(of: folder)
      if !root.isEmpty {
        try requirePrivate(root)
        // A directory that holds other things keeps its permissions: only the folders inside it must be private.
        let names = try listDirectory(root)
        if names.allSatisfy(kinds.contains) { chmod(root, 0o700) }
      }
    }
    try requirePrivate(folder)
    chmod(folder, 0o700)
  }

  private static func requirePrivate(_ path: String) throws {
    try makeDirectory(path, permissions: 0o700)
    var info = stat()
    guard stat(path, &info) == 0 else {
      throw RetortError(.checkpoint, "cannot look at the cache directory (\(systemErrorText()))", at: path)
    }
    let remedy = "set RETORT_CACHE to a directory of your own, or to off to keep nothing"
    if info.st_uid != geteuid() {
      throw RetortError(
        .checkpoint, "the cache directory belongs to another user (number \(info.st_uid))", at: path, remedy: remedy)
    }
    if info.st_mode & 0o002 != 0 {
      throw RetortError(
        .checkpoint, "everybody may write to the cache directory", at: path, remedy: "chmod 700 it, or \(remedy)")
    }
  }
}
