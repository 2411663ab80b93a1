#if canImport(Glibc)
  import Glibc
#endif

/// A text file to which whole lines are appended, each with one write.
package final class LogFile {
  private let path: String
  private let descriptor: Int32

  /// Opens a file for appending and creates it if it does not exist; throws `.checkpoint`.
  package init(appendingTo path: String) throws {
    self.path = path
    descriptor = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0o644)
    if descriptor < 0 {
      throw RetortError(.checkpoint, "cannot open the log (\(systemErrorText()))", at: path)
    }
  }

  deinit { close(descriptor) }

  /// Appends a line; throws `.checkpoint` when the disk is full or gone.
  package func writeLine(_ line: String) throws {
    var text = line + "\n"
    let code = text.withUTF8 { writeAll(UnsafeRawBufferPointer($0), to: descriptor) }
    if code != 0 {
      throw RetortError(
        .checkpoint, "cannot write the log (\(systemErrorText(code)))", at: path,
        remedy: "free space there and run again")
    }
  }
}
