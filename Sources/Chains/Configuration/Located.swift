import Datasets
import Foundation
import Platform

/// The model directory of a reference.
package struct Located: Sendable, Equatable {
  /// The source in which it was found.
  package enum Source: Sendable, Equatable {
    /// The output of an earlier step, by its index; the directory need not exist yet.
    case step(Int)
    /// A directory by its path, absolute or relative to the chain file's directory or the working directory.
    case directory
    /// A directory below the models root.
    case modelsRoot
    /// A snapshot in a Hugging Face cache, with its revision.
    case cache(revision: String)
  }

  /// The reference as written.
  package var reference: String
  /// The directory, absolute.
  package var path: String
  package var source: Source
}

/// The files of a data set reference.
package struct LocatedDataset: Sendable, Equatable {
  /// The training files, absolute.
  package var train: DatasetSplit
  /// The validation files, absolute, or the rows of the training files that are held out.
  package var validation: DatasetSplit
  /// The source in which they were found.
  package var source: Located.Source
  /// Warnings about the files.
  package var warnings: [String] = []

  /// A remark on the choice of held-out rows.
  var remarks: [String] {
    guard let share = validation.share else { return [] }
    return [
      "\(fixed(100 * share.share, 1)) % of the rows of \(validation.name) are held out for validation, chosen by their "
        + "content and seed \(share.seed)"
    ]
  }
}

/// The places of an unsuccessful search, for the message.
struct SearchLog {
  private(set) var places: [String] = []

  mutating func missed(_ path: String, _ why: String) {
    let line = "\(path) (\(why))"
    if !places.contains(line) { places.append(line) }
  }

  /// The places as a list in one sentence.
  var text: String { places.isEmpty ? "" : "; searched: " + places.joined(separator: "; ") }
}

/// A path without `.`, `..` and doubled slashes, made absolute from `base`; symbolic links are not followed.
func normalPath(_ path: String, from base: String = FileManager.default.currentDirectoryPath) -> String {
  var parts: [Substring] = []
  for part in joinPath(base, path).split(separator: "/") {
    switch part {
    case ".": break
    case "..": _ = parts.popLast()
    default: parts.append(part)
    }
  }
  return "/" + parts.joined(separator: "/")
}

/// Snapshot directories of a Hugging Face cache: `CACHE/models--ORG--NAME/snapshots/REVISION`.
struct HubCache {
  enum Kind: String {
    case models, datasets
  }

  let root: String

  /// The cache directories of the environment, in the order of the search.
  static func roots(_ environment: [String: String]) -> [String] {
    func set(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    var roots = [set("HF_HUB_CACHE"), set("HF_HOME").map { joinPath($0, "hub") }].compactMap { $0 }
    if let home = set("HOME") { roots.append(joinPath(home, ".cache/huggingface/hub")) }
    return roots.map { normalPath($0) }
  }

  /// Whether a reference can be a hub id: NAME or ORG/NAME of letters, digits, dots, dashes and underscores.
  static func isIdentifier(_ reference: String) -> Bool {
    let parts = reference.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count <= 2
      && parts.allSatisfy { part in
        !part.isEmpty && !part.hasPrefix(".")
          && part.utf8.allSatisfy {
            (48...57).contains($0) || (65...90).contains($0 & 0xDF) || [45, 46, 95].contains($0)
          }
      }
  }

  /// The snapshot that `refs/main` names, or the only snapshot; adds misses to the log.
  func snapshot(of reference: String, _ kind: Kind, _ log: inout SearchLog) -> (path: String, revision: String)? {
    let repository = joinPath(
      root, ([kind.rawValue] + reference.split(separator: "/").map(String.init)).joined(separator: "--"))
    guard isDirectory(repository) else {
      log.missed(repository, "does not exist")
      return nil
    }
    let snapshots = joinPath(repository, "snapshots")
    let reference = (try? readFile(joinPath(repository, "refs/main"))).map { String(decoding: $0, as: UTF8.self) }
    if let revision = reference?.trimmingCharacters(in: .whitespacesAndNewlines), !revision.isEmpty,
      !revision.contains("/")
    {
      let path = joinPath(snapshots, revision)
      if isDirectory(path) { return (path, revision) }
      log.missed(path, "named by refs/main, does not exist")
      return nil
    }
    let found = ((try? listDirectory(snapshots)) ?? []).filter { isDirectory(joinPath(snapshots, $0)) }
    if found.count == 1 { return (joinPath(snapshots, found[0]), found[0]) }
    log.missed(snapshots, found.isEmpty ? "no snapshot" : "\(found.count) snapshots and no refs/main to choose")
    return nil
  }
}
