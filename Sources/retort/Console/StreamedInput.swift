import Collectives
import Foundation
import Platform

/// Inputs that are streams: standard input, FIFOs, and process substitutions of a shell (`<(…)`).
enum StreamedInput {
  static let standardInput = "standard input"

  /// The name with which an input is opened. A regular file keeps its name; a stream is read to its end by rank 0,
  /// which alone has it, and broadcast. Collective; throws `.input`.
  static func resolve(_ name: String, on communicator: any Communicator) throws -> String {
    let known = try communicator.agree {
      communicator.isFirst ? stream(name).map { Array($0.name.utf8) } ?? [] : []
    }
    let display = String(decoding: try communicator.broadcast(known), as: UTF8.self)
    if display.isEmpty { return name }
    let bytes = try communicator.agree { communicator.isFirst ? try read(name) : [] }
    StreamContents.keep(try communicator.broadcast(bytes), as: display)
    return display
  }

  /// The text of a file or stream on this rank; throws `.input`, also for bytes that are not UTF-8.
  static func text(_ name: String) throws -> String {
    let bytes = stream(name) == nil ? Array(try readFile(name)) : try read(name)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw RetortError(
        .input, "the text is not UTF-8", at: stream(name)?.name ?? name,
        remedy: "convert the file, for example with iconv -f latin1 -t utf-8")
    }
    return text
  }

  /// The descriptor of a stream, or -1 for one that is opened by its path; nil for other files.
  private static func stream(_ name: String) -> (name: String, descriptor: Int32)? {
    if ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].contains(name) { return (standardInput, STDIN_FILENO) }
    var info = stat()
    guard stat(name, &info) == 0, (info.st_mode & S_IFMT) == S_IFIFO else { return nil }
    return (name, -1)
  }

  private static func read(_ name: String) throws -> [UInt8] {
    guard let (display, known) = stream(name) else { return [] }
    if known >= 0 { return try readAll(from: known, name: display) }
    // open() blocks until the FIFO has a writer.
    let descriptor = Activity.waitingOutside { open(name, O_RDONLY | O_CLOEXEC) }
    if descriptor < 0 {
      throw RetortError(
        .input, "cannot open the FIFO (\(systemErrorText()))", at: name, remedy: "check its permissions")
    }
    defer { close(descriptor) }
    return try readAll(from: descriptor, name: display)
  }
}
