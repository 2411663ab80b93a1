import Foundation

#if canImport(Glibc)
  import Glibc
#endif

/// A child process, started with posix_spawn: Foundation's `Process` has crashed in `run` where many were started.
final class ChildProcess {
  /// What `posix_spawn` refuses.
  struct Refusal: Error, CustomStringConvertible { let description: String }

  let identifier: pid_t
  private var code: Int32?

  /// Starts a line of bash in a directory, with an empty input; output and errors go into files, which may be the same.
  ///
  /// - Parameter arguments: `$0`, `$1`, ….
  init(
    bash line: String, _ arguments: [String], environment: [String: String], directory: String, output: String,
    errors: String
  ) throws {
    let program = "/bin/bash"
    let environment = environment.merging(["TEST_DIRECTORY": directory]) { $1 }
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    // A thread of a test may have blocked signals that the child must get.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
    func cStrings(_ texts: [String]) -> [UnsafeMutablePointer<CChar>?] { texts.map { strdup($0) } + [nil] }
    let (arguments, variables) = (
      cStrings([program, "-c", "cd -- \"$TEST_DIRECTORY\" || exit 126; " + line] + arguments),
      cStrings(environment.map { "\($0.key)=\($0.value)" })
    )
    defer { (arguments + variables).forEach { free($0) } }
    var child: pid_t = 0
    let failure = posix_spawn(&child, program, &actions, &attributes, arguments, variables)
    guard failure == 0 else { throw Refusal(description: "\(program): \(String(cString: strerror(failure)))") }
    identifier = child
  }

  /// The exit code if it has ended; 128 + n where signal n ended it.
  func poll() -> Int32? {
    if code != nil { return code }
    var status: Int32 = 0
    guard waitpid(identifier, &status, WNOHANG) == identifier else { return nil }
    code = status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    return code
  }

  var isRunning: Bool { poll() == nil }

  /// Waits for the end, at most so many seconds; nil if it still runs.
  func wait(_ seconds: Double) -> Int32? {
    let end = Date() + seconds
    while poll() == nil, Date() < end { usleep(2000) }
    return poll()
  }

  /// Sends it a signal while it runs.
  func send(_ signal: Int32) { if isRunning { kill(identifier, signal) } }
}
