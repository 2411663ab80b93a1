import Foundation
import Platform

#if canImport(Glibc)
  import Glibc
#endif

/// Where Retort keeps what it can compute again: tokens, teacher signals, teachers' weights.
///
///     ROOT/tokens/KEY/…      the tokens of a data file, see `TokenFile`
///     ROOT/teachers/KEY/…    signals, or the weights of a teacher
///
/// Tokens can be turned back into text, so directories and files are the user's alone.
public enum CacheDirectory {
  /// The names of the folders of keys.
  public static let kinds = ["tokens", "teachers"]
  /// Bytes that everything kept may take together, unless a chain says otherwise.
  public static let defaultLimit = 10_000_000_000

  /// RETORT_CACHE, or XDG_CACHE_HOME/retort, or ~/.cache/retort; nil where none of them is set, and for
  /// `RETORT_CACHE=off`, which keeps nothing.
  public static func path(environment: [String: String] = ProcessInfo.processInfo.environment) -> String? {
    func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    if let path = value("RETORT_CACHE") { return path == "off" ? nil : path }
    if let base = value("XDG_CACHE_HOME") { return joinPath(base, "retort") }
    return value("HOME").map { joinPath($0, ".cache/retort") }
  }

  /// Removes files that a killed run left under temporary names more than a day ago; what cannot be removed stays.
  public static func sweep(_ directory: String) {
    let names = (try? listDirectory(directory)) ?? []
    for name in names where name.hasSuffix(".tmp") {
      let path = joinPath(directory, name)
      var info = stat()
      if stat(path, &info) == 0, time(nil) - info.st_mtim.tv_sec > 86_400 { unlink(path) }
    }
  }

  /// Makes the folder of a kind of keys, or makes sure that one is private: the user's own, and nobody else's to write
  /// to. Rights to read that others have are taken away.
  ///
  /// Throws `.checkpoint` for a directory of another user or one that others may write to, and where none can be made.
  static func secure(_ folder: String) throws {
    // The cache directory itself is there first, and private from the moment that it is made.
    if kinds.contains(fileName(of: folder)) {
      let root = parentDirectory(of: folder)
      if !root.isEmpty {
        try requirePrivate(root)
        // A directory with other things in it keeps its rights: only what is made below is to be private.
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
