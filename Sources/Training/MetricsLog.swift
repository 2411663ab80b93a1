import Foundation
import Platform

/// How much of a log belongs to a checkpoint: its first bytes, and their checksum.
struct LogPosition: Equatable {
  var bytes = 0
  var checksum = Checksum()

  /// The form of `state.json`.
  var json: JSON { ["bytes": .int(bytes), "crc32c": .int(Int(checksum.value))] }
}

/// The lines of a log that belong to the checkpoint that a run continues from; nil where they are not there any more.
struct RestoredLog {
  let lines: Data

  /// Reads them through the checkpoint's own name of the log file, which no later run writes to.
  init?(_ folder: String, _ json: JSON?) {
    guard let bytes = json?["bytes"]?.int, let expected = json?["crc32c"]?.int, bytes >= 0,
      let all = try? readFile(joinPath(folder, "metrics.jsonl")), all.count >= bytes
    else { return nil }
    lines = all.prefix(bytes)
    guard lines.withUnsafeBytes({ Int(Checksum(of: $0).value) }) == expected else { return nil }
  }
}

/// metrics.jsonl: a line for every step and evaluation, handed to the system as it is written; only rank 0 has one.
///
/// A run that continues begins with the lines of its checkpoint. One that begins anew starts an empty file; the lines
/// of a committed student stay in `metrics.previous.jsonl` until its successor is committed.
public final class MetricsLog {
  let path: String
  private let file: LogFile
  private(set) var position = LogPosition()

  /// Starts the log of a training directory.
  ///
  /// - Parameters:
  ///   - continuing: whether a checkpoint is continued.
  ///   - lines: the checkpoint's lines; nil where they are lost.
  ///   - fence: asked before anything is renamed or replaced.
  init(inDirectory directory: String, continuing: Bool, lines: RestoredLog?, fence: (any WriteFence)? = nil) throws {
    path = joinPath(directory, "metrics.jsonl")
    try fence?.requireHeld()
    let previous = MetricsLog.previous(directory)
    if !continuing, fileExists(path), fileExists(joinPath(directory, "step.json")), !fileExists(previous) {
      guard rename(path, previous) == 0 else {
        throw RetortError(.checkpoint, "cannot rename \(path) to it (\(systemErrorText()))", at: previous)
      }
    }
    // A new file and not the old one cut short: checkpoints have names of their own of the old one.
    let kept = lines?.lines ?? Data()
    try writeFileAtomically(path, kept)
    file = try LogFile(appendingTo: path)
    kept.withUnsafeBytes { note($0) }
  }

  private static func previous(_ directory: String) -> String { joinPath(directory, "metrics.previous.jsonl") }

  /// Removes the lines of the student before, once its successor is committed.
  static func removePrevious(inDirectory directory: String) { unlink(previous(directory)) }

  /// Appends one line; throws `.checkpoint` when the disk is full or gone.
  public func write(_ line: JSON) throws {
    let text = line.text()
    try file.writeLine(text)
    Array("\(text)\n".utf8).withUnsafeBytes { note($0) }
  }

  private func note(_ bytes: UnsafeRawBufferPointer) {
    position.bytes += bytes.count
    position.checksum.update(bytes)
  }
}
