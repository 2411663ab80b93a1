import Foundation
import Platform

/// The part of a log that belongs to a checkpoint: the count of its first bytes, and their checksum.
struct LogPosition: Equatable {
  var bytes = 0
  var checksum = Checksum()

  /// The form of `state.json`.
  var json: JSON { ["bytes": .int(bytes), "crc32c": .int(Int(checksum.value))] }
}

/// The lines of a log that belong to the checkpoint from which a run resumes.
struct RestoredLog {
  let lines: Data

  /// Reads the lines through the checkpoint's hard link of the log file, to which no later run writes; nil if they are
  /// lost.
  init?(_ folder: String, _ json: JSON?) {
    guard let bytes = json?["bytes"]?.int, let expected = json?["crc32c"]?.int, bytes >= 0,
      let all = try? readFile(joinPath(folder, "metrics.jsonl")), all.count >= bytes
    else { return nil }
    lines = all.prefix(bytes)
    guard lines.withUnsafeBytes({ Int(Checksum(of: $0).value) }) == expected else { return nil }
  }
}

/// metrics.jsonl: one line per logged optimizer step and evaluation, written without buffering, on rank 0 only.
///
/// A resumed run begins with the lines of its checkpoint. A new run starts an empty file; the lines of a committed
/// student stay in `metrics.previous.jsonl` until its successor is committed.
package final class MetricsLog {
  let path: String
  private let file: LogFile
  private(set) var position = LogPosition()

  /// Starts the log of a training directory.
  ///
  /// - Parameters:
  ///   - continuing: whether the run resumes from a checkpoint.
  ///   - lines: the checkpoint's lines; nil if they are lost.
  ///   - fence: checked before anything is renamed or replaced.
  init(inDirectory directory: String, continuing: Bool, lines: RestoredLog?, fence: (any WriteFence)? = nil) throws {
    path = joinPath(directory, "metrics.jsonl")
    try fence?.requireHeld()
    let previous = MetricsLog.previous(directory)
    if !continuing, fileExists(path), fileExists(joinPath(directory, "step.json")), !fileExists(previous) {
      guard rename(path, previous) == 0 else {
        throw RetortError(.checkpoint, "cannot rename \(path) to it (\(systemErrorText()))", at: previous)
      }
    }
    // Write a new file instead of truncating the old one, to which checkpoints have hard links.
    let kept = lines?.lines ?? Data()
    try writeFileAtomically(path, kept)
    file = try LogFile(appendingTo: path)
    kept.withUnsafeBytes { note($0) }
  }

  private static func previous(_ directory: String) -> String { joinPath(directory, "metrics.previous.jsonl") }

  /// Removes the lines of the previous student after its successor is committed.
  static func removePrevious(inDirectory directory: String) { unlink(previous(directory)) }

  /// Appends one line; throws `.checkpoint` if the disk is full or gone.
  package func write(_ line: JSON) throws {
    let text = line.text()
    try file.writeLine(text)
    Array("\(text)\n".utf8).withUnsafeBytes { note($0) }
  }

  private func note(_ bytes: UnsafeRawBufferPointer) {
    position.bytes += bytes.count
    position.checksum.update(bytes)
  }
}
