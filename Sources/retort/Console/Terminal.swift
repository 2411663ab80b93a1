import Foundation

/// The process's output streams.
enum Terminal {
  /// Writes text at once, so that lines of a job that dies are not lost; a closed stream is nobody's failure.
  static func write(_ text: String, toError: Bool = false) {
    var text = text
    text.withUTF8 { bytes in
      var rest = UnsafeRawBufferPointer(bytes)
      while !rest.isEmpty {
        let count = Glibc.write(toError ? STDERR_FILENO : STDOUT_FILENO, rest.baseAddress, rest.count)
        if count <= 0 { return }
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      }
    }
  }

  /// Whether a person watches the output.
  ///
  /// mpirun gives its ranks a terminal of their own wherever its output goes, so under a launcher only
  /// `RETORT_PROGRESS` (bar or lines, set by launch/local) is believed.
  static var isInteractive: Bool {
    let environment = ProcessInfo.processInfo.environment
    if let wish = environment["RETORT_PROGRESS"], !wish.isEmpty { return wish == "bar" }
    let isLaunched = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"].contains { environment[$0] != nil }
    return !isLaunched && isatty(STDOUT_FILENO) == 1
  }
}
