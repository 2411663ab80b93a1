import Foundation
import Platform
import Synchronization

/// The process's output streams.
///
/// Text on standard output is a result unless it is written as progress: if a result is lost, the command ends with an
/// error (`requireWritten`).
enum Terminal {
  /// The `errno` of the first lost result; 0 if all were written.
  private static let failure = Atomic<Int32>(0)

  /// Writes text without buffering, so that the lines of a job that dies are not lost.
  ///
  /// Text for standard error that cannot be written is dropped. A result that cannot be written is recorded for
  /// `requireWritten`, and later ones are not written, so that a partial result does not look complete.
  static func write(_ text: String, toError: Bool = false) {
    if !toError, failure.load(ordering: .relaxed) != 0 { return }
    let code = put(text, toError ? STDERR_FILENO : STDOUT_FILENO)
    if code != 0, !toError { failure.store(code, ordering: .relaxed) }
  }

  /// Writes text that may be lost to standard output; returns the system's reason if it was.
  static func writeProgress(_ text: String) -> String? {
    let code = put(text, STDOUT_FILENO)
    return code == 0 ? nil : reason(code)
  }

  /// Throws `.checkpoint` if a result was lost.
  static func requireWritten() throws {
    let code = failure.load(ordering: .relaxed)
    if code == 0 { return }
    throw RetortError(
      .checkpoint, "the results could not be written (\(reason(code)))", at: "standard output",
      remedy: code == EPIPE
        ? "read them to their end, or write them to a file" : "free space there, or write them to a file")
  }

  private static func put(_ text: String, _ descriptor: Int32) -> Int32 {
    var text = text
    return text.withUTF8 { writeAll(UnsafeRawBufferPointer($0), to: descriptor) }
  }

  private static func reason(_ code: Int32) -> String {
    switch code {
    case EPIPE: "its reader has closed it"
    case EBADF: "it is closed"
    default: systemErrorText(code)
    }
  }

  /// Whether standard output is a terminal.
  ///
  /// mpirun gives its ranks their own terminal even if its output goes to a file, so under a launcher only
  /// `RETORT_PROGRESS` (bar or lines, set by launch/local) counts.
  static var isInteractive: Bool {
    let environment = ProcessInfo.processInfo.environment
    if let wish = environment["RETORT_PROGRESS"], !wish.isEmpty { return wish == "bar" }
    let isLaunched = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"].contains { environment[$0] != nil }
    return !isLaunched && isatty(STDOUT_FILENO) == 1
  }
}

extension Terminal {
  /// Writes remarks about a model's files to standard error, one per line.
  static func warn(of remarks: [String]) {
    for remark in remarks { write("warning: \(remark)\n", toError: true) }
  }
}
