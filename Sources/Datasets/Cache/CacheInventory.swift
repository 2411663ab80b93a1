import Foundation
import Platform

/// What a cache directory has, key by key.
public struct CacheInventory: Sendable {
  /// What a key has.
  public enum Kind: String, Sendable, CaseIterable {
    /// The tokens of a data file.
    case tokens
    /// What a teacher said of examples.
    case signals
    /// A teacher's weights in the form that passes read.
    case teachers
  }

  /// One key.
  public struct Entry: Sendable {
    /// What the key has.
    public let kind: Kind
    /// 64 hexadecimal digits.
    public let key: String
    /// What it belongs to: a data file's path, a teacher's name; nil where nobody has written it.
    public let about: String?
    /// Of its files together.
    public let bytes: Int
    /// Seconds since 1970.
    public let lastUse: Double
    /// Whether a job holds it.
    public let isUsed: Bool
    let path: String

    /// The entry as `retort cache list --json` shows it.
    public var json: JSON {
      [
        "kind": .string(kind.rawValue), "key": .string(key), "about": about.map(JSON.string) ?? .null,
        "bytes": .int(bytes), "last_use": .double(lastUse), "in_use": .bool(isUsed),
      ]
    }
  }

  /// The cache directory.
  public let root: String
  /// The keys, the one that was used last first.
  public let entries: [Entry]

  /// Looks through a cache directory; one that is not there has nothing.
  public init(root: String) {
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

  /// What a clearing came to.
  public struct Cleared: Sendable {
    /// Keys that are gone.
    public var entries = 0
    /// Of those that are gone.
    public var bytes = 0
    /// Keys that stay because a job holds them.
    public var used = 0
    /// Keys that could not be removed.
    public var failed = 0
  }

  /// Removes keys that no job holds.
  ///
  /// - Parameters:
  ///   - kinds: of these only.
  ///   - seconds: those that were not used for so long only; nil: all.
  public func clear(_ kinds: Set<Kind>, unusedFor seconds: Double? = nil) -> Cleared {
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
