import Foundation
import Platform

/// The keys of a cache directory.
package struct CacheInventory: Sendable {
  /// The kind of data under a key.
  package enum Kind: String, Sendable, CaseIterable {
    /// The tokens of a data file.
    case tokens
    /// A teacher's signals for examples.
    case signals
    /// A teacher's weights in the form that passes read.
    case teachers
  }

  /// One key of the cache.
  package struct Entry: Sendable {
    /// The kind of the key's data.
    package let kind: Kind
    /// 64 hexadecimal digits.
    package let key: String
    /// The path of the data file or the name of the teacher that the key belongs to; nil if it is not recorded.
    package let about: String?
    /// The total size of the key's files.
    package let bytes: Int
    /// The time of last use, in seconds since 1970.
    package let lastUse: Double
    /// Whether a job holds the key.
    package let isUsed: Bool
    let path: String

    /// The entry in the form of `retort cache list --json`.
    package var json: JSON {
      [
        "kind": .string(kind.rawValue), "key": .string(key), "about": about.map(JSON.string) ?? .null,
        "bytes": .int(bytes), "last_use": .double(lastUse), "in_use": .bool(isUsed),
      ]
    }
  }

  /// The cache directory.
  package let root: String
  /// The keys, most recently used first.
  package let entries: [Entry]

  /// Lists a cache directory; a directory that does not exist has no keys.
  package init(root: String) {
    self.root = root
    var found: [Entry] = []
    for folder in CacheDirectory.kinds {
      for path in KeyedFolder.keys(in: joinPath(root, folder)) {
        let names = (try? listDirectory(path)) ?? []
        let kind: Kind = folder == "tokens" ? .tokens : names.contains("weights") ? .teachers : .signals
        let about = try? JSON(parsing: readFile(joinPath(path, KeyedFolder.aboutName)))
        found.append(
          Entry(
            kind: kind, key: String(fileName(of: path).prefix(64)), about: about?["about"]?.string,
            bytes: KeyedFolder.bytes(of: path), lastUse: KeyedFolder.lastUse(of: path),
            isUsed: KeyedFolder.isUsed(path), path: path))
      }
    }
    entries = found.sorted { $0.lastUse > $1.lastUse }
  }

  /// The result of clearing the cache.
  package struct Cleared: Sendable {
    /// The number of removed keys.
    package var entries = 0
    /// The total size of the removed keys.
    package var bytes = 0
    /// The number of keys kept because a job holds them.
    package var used = 0
    /// The number of keys that could not be removed.
    package var failed = 0
  }

  /// Removes keys that no job holds.
  ///
  /// - Parameters:
  ///   - kinds: the kinds of keys to remove.
  ///   - seconds: removes only keys that were not used for this time; nil: all.
  package func clear(_ kinds: Set<Kind>, unusedFor seconds: Double? = nil) -> Cleared {
    var cleared = Cleared()
    let now = Date().timeIntervalSince1970
    for folder in CacheDirectory.kinds { KeyedFolder.clearGraves(in: joinPath(root, folder)) }
    for entry in entries where kinds.contains(entry.kind) {
      if let seconds, now - entry.lastUse < seconds { continue }
      if KeyedFolder.removeIfUnused(entry.path) {
        cleared.entries += 1
        cleared.bytes += entry.bytes
      } else if KeyedFolder.isUsed(entry.path) {
        cleared.used += 1
      } else {
        cleared.failed += 1
      }
    }
    return cleared
  }
}
