import Foundation
import Platform

/// The content of an output directory before a run, and whether it is Retort's.
package struct OutputDirectory {
  let path: String

  /// The directory at `path`, which need not exist.
  package init(path: String) { self.path = path }

  /// Whether a directory is Retort's.
  package enum Content: Equatable {
    /// It does not exist, or contains nothing that a student could replace.
    case empty
    /// It contains a record of Retort.
    case ours
    /// It contains these files and no record of Retort.
    case foreign([String])
  }

  /// Classifies the directory. Throws `.checkpoint` if it cannot be read.
  package func content() throws -> Content {
    guard fileExists(path) else { return .empty }
    let names: [String]
    do { names = try listDirectory(path) } catch {
      var failure = RetortError.wrap(error)
      failure.kind = .checkpoint
      throw failure
    }
    if hasRecord { return .ours }
    // A student has no file whose name begins with a dot; a fresh volume contains lost+found.
    let others = names.filter { name in
      !name.hasPrefix(".") && name != "lost+found" && !OutputDirectory.isTemporary(name)
        && !(name == "training" && hasOnlyLocks)
    }
    return others.isEmpty ? .empty : .foreign(others)
  }

  /// Whether the directory contains anything except locks.
  var hasOutput: Bool {
    let names = (try? listDirectory(path)) ?? []
    return names.contains { $0 != "training" || !hasOnlyLocks }
  }

  /// Whether there is any record of a run, also of versions without `owner.json`.
  private var hasRecord: Bool {
    let training = joinPath(path, "training")
    if OwnerRecord.read(from: path) != nil || StepManifest.read(from: path) != nil { return true }
    if StepCommit.staged(in: path) != nil || fileExists(joinPath(training, "metrics.jsonl")) { return true }
    let checkpoints = joinPath(training, "checkpoints")
    return ((try? listDirectory(checkpoints)) ?? []).contains {
      fileExists(joinPath(checkpoints, "\($0)/state.json")) || $0 == "best"
    }
  }

  private var hasOnlyLocks: Bool {
    ((try? listDirectory(joinPath(path, "training"))) ?? ["?"]).allSatisfy {
      OutputLock.isLock($0) || OutputDirectory.isTemporary($0)
    }
  }

  /// Whether a name is that of an unfinished file of a killed run: NAME.PID.NUMBER.tmp.
  static func isTemporary(_ name: String) -> Bool {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts.last == "tmp" else { return false }
    return parts.suffix(3).dropLast().allSatisfy { !$0.isEmpty && $0.allSatisfy { $0.isASCII && $0.isNumber } }
  }

  /// Removes unfinished files of killed runs. Only the holder of the lock may call it.
  func removeTemporaries() {
    for folder in [path, joinPath(path, "training")] {
      for name in (try? listDirectory(folder)) ?? [] where OutputDirectory.isTemporary(name) {
        unlink(joinPath(folder, name))
      }
    }
  }

  /// "config.json, model.safetensors and 4 more".
  static func list(_ names: [String]) -> String {
    guard names.count > 4 else { return names.joined(separator: ", ") }
    return names.prefix(3).joined(separator: ", ") + " and \(names.count - 3) more"
  }
}

/// `training/owner.json`: the chain step that owns an output directory, written before anything else there.
package struct OwnerRecord: Equatable {
  var stepID: String
  var chain: String
  var chainFile: String
  /// The digest of the plan to which `training/metrics.jsonl` belongs.
  var plan: String

  private static func path(in directory: String) -> String { joinPath(directory, "training/owner.json") }

  /// The record of a directory; nil if there is none or it cannot be read.
  package static func read(from directory: String) -> OwnerRecord? {
    guard let json = try? JSON(contentsOf: path(in: directory)), let step = json["step_id"]?.string,
      let chain = json["chain"]?.string, let file = json["chain_file"]?.string, let plan = json["plan"]?.string
    else { return nil }
    return OwnerRecord(stepID: step, chain: chain, chainFile: file, plan: plan)
  }

  func write(to directory: String) throws {
    let json: JSON = [
      "format": 1, "step_id": .string(stepID), "chain": .string(chain), "chain_file": .string(chainFile),
      "plan": .string(plan),
    ]
    try writeFileAtomically(OwnerRecord.path(in: directory), json.text(indent: 2) + "\n")
  }

  /// Writes this record to a directory and switches `metrics.jsonl` to the lines of its plan: those of another plan are
  /// renamed, and restored when that plan runs again.
  ///
  /// - Parameter committed: the plan of the existing student, to which the lines belong if there is no record.
  func take(_ directory: String, committed: String?, fence: (any WriteFence)?) throws {
    let before = OwnerRecord.read(from: directory)
    let training = joinPath(directory, "training")
    let lines = joinPath(training, "metrics.jsonl")
    func byName(_ plan: String) -> String { joinPath(training, "metrics.\(plan.prefix(16)).jsonl") }
    if let last = before?.plan ?? committed, last != plan {
      try fence?.requireHeld()
      // After a kill between the two renames the lines have their plan's name and are found by it.
      if fileExists(lines) { rename(lines, byName(last)) }
    }
    if self != before {
      try fence?.requireHeld()
      try write(to: directory)
    }
    if !fileExists(lines), fileExists(byName(plan)) {
      try fence?.requireHeld()
      rename(byName(plan), lines)
    }
  }

  /// Removes the lines of plans whose students have been replaced.
  static func dropOtherMetrics(in directory: String) {
    let training = joinPath(directory, "training")
    for name in (try? listDirectory(training)) ?? []
    where name.hasPrefix("metrics.") && name.hasSuffix(".jsonl") && name != "metrics.jsonl" {
      unlink(joinPath(training, name))
    }
  }
}
