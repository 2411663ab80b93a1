import ArgumentParser
import Datasets
import Foundation
import Platform

/// `retort cache`: lists and removes the files that are kept for later runs.
struct CacheCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cache",
    abstract: "Lists or clears the files kept for later runs: tokens, teacher signals, teachers' weights.",
    discussion: """
      The cache directory is RETORT_CACHE, else XDG_CACHE_HOME/retort, else ~/.cache/retort. RETORT_CACHE=off keeps \
      nothing. Everything in it can be recomputed.
      """,
    subcommands: [List.self, Clear.self])

  /// The inventory of the cache directory.
  fileprivate static func inventory() throws -> CacheInventory {
    guard let root = CacheDirectory.path() else {
      throw RetortError(
        .configuration, "there is no cache directory: RETORT_CACHE is off, or neither it nor HOME is set",
        remedy: "set RETORT_CACHE")
    }
    return CacheInventory(root: root)
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lists the entries: kind, key, last use, size and origin.")

    @Flag(help: "Prints one JSON object.") var json = false

    func run() throws {
      let inventory = try CacheCommand.inventory()
      let total = inventory.entries.reduce(0) { $0 + $1.bytes }
      if json {
        let object: JSON = [
          "directory": .string(inventory.root), "bytes": .int(total),
          "entries": .array(inventory.entries.map(\.json)),
        ]
        return Terminal.write(object.text() + "\n")
      }
      let format = DateFormatter()
      format.dateFormat = "yyyy-MM-dd HH:mm"
      for entry in inventory.entries {
        let used = format.string(from: Date(timeIntervalSince1970: entry.lastUse))
        Terminal.write(
          "\(entry.kind.rawValue.padding(toLength: 8, withPad: " ", startingAt: 0)) \(entry.key.prefix(12))  "
            + "\(used)\(entry.isUsed ? " (in use)" : "")  \(grouped(entry.bytes)) bytes  \(entry.about ?? "unknown")\n")
      }
      Terminal.write("\(inventory.entries.count) kept, \(grouped(total)) bytes, in \(inventory.root)\n")
    }
  }

  struct Clear: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Removes entries that no running job uses.")

    @Option(help: "Removes only tokens, signals or teachers. Repeatable.") var kind: [String] = []
    @Flag(help: "Removes entries of any age.") var all = false
    @Option(help: "Removes entries that have not been used for this number of days.") var olderThan: Double?
    @Flag(help: "Prints one JSON object.") var json = false

    func validate() throws {
      for name in kind where CacheInventory.Kind(rawValue: name) == nil {
        throw ValidationError("--kind is tokens, signals or teachers, not \"\(name)\"")
      }
      if all == (olderThan != nil) { throw ValidationError("give one of --all and --older-than DAYS") }
      if let olderThan, !(olderThan >= 0 && olderThan <= 1_000_000) {
        throw ValidationError("--older-than is 0 to 1000000 days, not \(olderThan)")
      }
    }

    func run() throws {
      let kinds = kind.isEmpty ? CacheInventory.Kind.allCases : kind.compactMap(CacheInventory.Kind.init)
      let cleared = try CacheCommand.inventory().clear(Set(kinds), unusedFor: olderThan.map { $0 * 86_400 })
      if json {
        let object: JSON = [
          "removed": .int(cleared.entries), "bytes": .int(cleared.bytes), "in_use": .int(cleared.used),
          "failed": .int(cleared.failed),
        ]
        Terminal.write(object.text() + "\n")
      } else {
        let kept = cleared.used > 0 ? "; \(cleared.used) remain, which running jobs use" : ""
        Terminal.write("removed \(cleared.entries), \(grouped(cleared.bytes)) bytes\(kept)\n")
      }
      if cleared.failed > 0 {
        throw RetortError(
          .checkpoint, "\(cleared.failed) could not be removed", at: CacheDirectory.path(),
          remedy: "check the permissions there")
      }
    }
  }
}
