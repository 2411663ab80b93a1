import Foundation
import Models
import Platform

/// Puts a finished student in the place of the one before, so that a kill at any moment leaves the old one whole, the
/// new one whole, or a new one that the next run puts in its place before it does anything else.
///
///     training/commit/            the new student, all its files; step.json, written last, makes it complete
///     OUTPUT/NAME ← rename        each of its files; what is in the way and not the old student's goes to
///     training/replaced/TIME/     and is kept there
///     training/step.json ← rename the record, last of all
///
/// Only the holder of the directory's lock may.
package struct StepCommit {
  let directory: String
  let fence: (any WriteFence)?
  /// The folder of the new student.
  var stage: String { joinPath(directory, "training/commit") }

  package init(_ directory: String, fence: (any WriteFence)?) { (self.directory, self.fence) = (directory, fence) }

  /// The record of a complete new student that has not been put in its place yet.
  static func staged(in directory: String) -> StepManifest? {
    StepManifest(joinPath(directory, "training/commit/step.json"))
  }

  /// Removes what is left of a new student that was never complete, and gives room for another.
  func prepare() throws {
    try fence?.requireHeld()
    if fileExists(stage) {
      do { try FileManager.default.removeItem(atPath: stage) } catch {
        throw RetortError(.checkpoint, "cannot remove an unfinished student (\(error.localizedDescription))", at: stage)
      }
    }
  }

  /// Makes the student in the stage complete, and puts it in its place.
  ///
  /// - Returns: remarks on what was in the way and is kept.
  func finish(inputs: JSON, results: JSON) throws -> [String] {
    let manifest = try StepManifest(inputs: inputs, results: results, studentIn: stage)
    try fence?.requireHeld()
    try manifest.write(to: joinPath(stage, "step.json"))
    return try apply(manifest)
  }

  /// Puts a complete new student that a killed run left in its place.
  ///
  /// - Returns: remarks; nil where there was none. One that is not whole is dropped, with a remark.
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
      return ["the student of \(directory), which an earlier run had finished, is put in its place"] + remarks
    }
    try prepare()
    return ["a finished student in \(stage) is dropped: \(bad) is not as it was written"]
  }

  private func apply(_ manifest: StepManifest) throws -> [String] {
    let (old, new) = (StepManifest.read(from: directory), manifest.files?.entries ?? [:])
    let replaced = Aside(directory, fence)
    for name in try listDirectory(directory) {
      let path = joinPath(directory, name)
      if new[name] != nil {
        // Moved already, before a kill.
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
      try move(joinPath(stage, name), joinPath(directory, name))
    }
    flush(directory)
    try move(joinPath(stage, "step.json"), StepManifest.path(in: directory))
    flush(joinPath(directory, "training"))
    try? FileManager.default.removeItem(atPath: stage)
    return replaced.remarks
  }

  /// Whether a file is of a student whose record names its weights alone: whatever such a version wrote is its own.
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
        remedy: "check space and permissions there and run again; the student is finished and kept")
    }
  }

  private func flush(_ folder: String) {
    let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }

  /// Keeps files that are not the old student's: a person's own, or a foreign model's.
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

    /// Moves a file of the directory away.
    func take(_ name: String) throws {
      try fence?.requireHeld()
      try makeDirectory(folder)
      var (target, count) = (joinPath(folder, name), 0)
      while fileExists(target) {
        count += 1
        target = joinPath(folder, "\(name).\(count)")
      }
      guard rename(joinPath(directory, name), target) == 0 else {
        throw RetortError(
          .checkpoint, "cannot move the file out of the way (\(systemErrorText()))", at: joinPath(directory, name))
      }
      names.append(name)
    }

    /// What was moved, in words.
    var remarks: [String] {
      names.isEmpty
        ? [] : ["\(OutputDirectory.list(names)) of \(directory), not as Retort wrote it, is kept in \(folder)"]
    }
  }
}
