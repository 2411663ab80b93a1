import Foundation
import Platform

/// Where Retort keeps what it can compute again: tokens, teacher signals.
public enum CacheDirectory {
  /// RETORT_CACHE, or XDG_CACHE_HOME/retort, or ~/.cache/retort; nil where none of them is set.
  public static func path(environment: [String: String] = ProcessInfo.processInfo.environment) -> String? {
    func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    if let path = value("RETORT_CACHE") { return path }
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
}
