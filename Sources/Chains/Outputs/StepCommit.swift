import Foundation
import Models
import Platform

/// Replaces the previous student by a finished one, so that a kill at any moment leaves the old student complete, the
/// new student complete, or a staged new student that the next run first moves into place.
///
///     training/commit/            all files of the new student; step.json, written last, makes it complete
///     OUTPUT/NAME ← rename        each of its files; a file in the way that is not the old student's moves to
///     training/replaced/TIME/     and is kept there
///     training/step.json ← rename the record, last
///
/// Only the holder of the directory's lock may use it.
package struct StepCommit {
  let directory: String
  let fence: (any WriteFence)?
  /// The staging folder of the new student.
  var stage: String { joinPath(directory, "training/commit") }

  /// A commit to an output directory; `fence` is asked before each change.
  package init(_ directory: String, fence: (any WriteFence)?) { (self.directory, self.fence) = (directory, fence) }

  /// The record of a complete staged student.
  static func staged(in directory: String) -> StepManifest? {
    StepManifest(joinPath(directory, "training/commit/step.json"))
  }

  /// Removes an incomplete staged student.
  func prepare() throws {
    try fence?.requireHeld()
    if fileExists(stage) {
      do { try FileManager.default.removeItem(atPath: stage) } catch {
        throw RetortError(.checkpoint, "cannot remove an unfinished student (\(error.localizedDescription))", at: stage)
      }
    }
  }

  /// Completes the staged student and moves it into place.
  ///
  /// - Returns: remarks on files in the way that are kept.
  func finish(inputs: JSON, results: JSON) throws -> [String] {
    let manifest = try StepManifest(inputs: inputs, results: results, studentIn: stage)
    try fence?.requireHeld()
    try manifest.write(to: joinPath(stage, "step.json"))
    return try apply(manifest)
  }

  /// Moves a complete staged student of a killed run into place. A damaged one is removed with a remark.
  ///
  /// - Returns: remarks; nil if there was none.
  package func recover() throws -> [String]? {
    guard let manifest = StepCommit.staged(in: directory) else {
      try prepare()
      return nil
    }
    let files = manifest.files ?? StudentFiles([:])
    let bad = files.entries.keys.sorted().first {
      !files.holds($0, in: stage) && (fileExists(joinPath(stage, $0)) || !files.holds($0, in: directory))
    }
    guard let bad else {
      let remarks = try apply(manifest)
      return ["the student of \(directory), which an earlier run had finished, is moved into place"] + remarks
    }
    try prepare()
    return ["a finished student in \(stage) is removed: \(bad) has changed since it was written"]
  }

  private func apply(_ manifest: StepManifest) throws -> [String] {
    let (old, new) = (StepManifest.read(from: directory), manifest.files?.entries ?? [:])
    let replaced = Aside(directory, fence)
    for name in try StudentFiles.names(in: directory) {
      let path = joinPath(directory, name)
      if new[name] != nil {
        // Moved before a kill.
        if !fileExists(joinPath(stage, name)) { continue }
      } else if !StudentFiles.isModelFile(name) && old?.files?.entries[name] == nil {
        continue
      }
      if old?.files?.holds(name, in: directory) == true || old.map({ isOfOldVersion($0, name) }) == true {
        if new[name] == nil {
          try fence?.requireHeld()
          unlink(path)
        }
      } else if new[name].map({ !StudentFiles([name: $0]).holds(name, in: directory) }) ?? true {
        try replaced.take(name)
      }
    }
    for name in new.keys.sorted() where fileExists(joinPath(stage, name)) {
      if name.contains("/") { try makeDirectory(parentDirectory(of: joinPath(directory, name))) }
      try move(joinPath(stage, name), joinPath(directory, name))
    }
    flush(directory)
    try move(joinPath(stage, "step.json"), StepManifest.path(in: directory))
    flush(joinPath(directory, "training"))
    try? FileManager.default.removeItem(atPath: stage)
    return replaced.remarks
  }

  /// Whether a file belongs to a student whose record has only the digest of its weights.
  private func isOfOldVersion(_ old: StepManifest, _ name: String) -> Bool {
    guard old.files == nil else { return false }
    if !name.hasSuffix(".safetensors") { return true }
    return (try? ModelDigest.ofWeights(directory: directory)) == old.weightsDigest
  }

  private func move(_ source: String, _ target: String) throws {
    try fence?.requireHeld()
    guard rename(source, target) == 0 else {
      throw RetortError(
        .checkpoint, "cannot move \(source) here (\(systemErrorText()))", at: target,
        remedy: "check space and permissions there and run again; the finished student is kept")
    }
  }

  private func flush(_ folder: String) {
    let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }

  /// Moves files aside that are not the old student's, such as a user's own files or another model.
  final class Aside {
    private let directory: String
    private let fence: (any WriteFence)?
    private let folder: String
    private var names: [String] = []

    init(_ directory: String, _ fence: (any WriteFence)?) {
      (self.directory, self.fence) = (directory, fence)
      let format = DateFormatter()
      format.locale = Locale(identifier: "en_US_POSIX")
      format.timeZone = TimeZone(identifier: "UTC")
      format.dateFormat = "yyyyMMdd-HHmmss"
      folder = joinPath(directory, "training/replaced/" + format.string(from: Date()))
    }

    /// Moves a file of the directory aside.
    func take(_ name: String) throws {
      try fence?.requireHeld()
      try makeDirectory(folder)
      var (target, count) = (joinPath(folder, name), 0)
      if name.contains("/") { try makeDirectory(parentDirectory(of: target)) }
      while fileExists(target) {
        count += 1
        target = joinPath(folder, "\(name).\(count)")
      }
      guard rename(joinPath(directory, name), target) == 0 else {
        throw RetortError(
          .checkpoint, "cannot move the file aside (\(systemErrorText()))", at: joinPath(directory, name))
      }
      names.append(name)
    }

    /// Remarks on the moved files.
    var remarks: [String] {
      names.isEmpty
        ? [] : ["\(OutputDirectory.list(names)) of \(directory), which Retort did not write so, is kept in \(folder)"]
    }
  }
}
