import Foundation
import TestSupport

/// Runs the `retort` command as a user does: the binary that was built beside the tests, or `RETORT_BINARY`.
struct Command {
  /// What a finished command left.
  struct Result {
    /// The exit code; 128 + n where signal n ended it.
    let code: Int32
    let output: String
    let errors: String

    /// Everything that was said.
    var said: String { output + errors }
  }

  /// A directory of the test's own, in which the command runs and which goes with the value's last copy.
  let directory: Directory

  /// Removes itself when the last holder lets go.
  final class Directory {
    let path: String
    init() throws { path = try Shared.temporaryDirectory("command") }
    deinit { try? FileManager.default.removeItem(atPath: path) }
  }

  init() throws { directory = try Directory() }

  /// The checkout.
  static var root: String { Shared.packageRoot }

  /// Whether there is something of this name in the test's directory.
  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }

  static let binary: String =
    ProcessInfo.processInfo.environment["RETORT_BINARY"] ?? Shared.packageRoot + "/.build/debug/retort"

  /// Whether ranks can be started here.
  static let hasMPI: Bool = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
    FileManager.default.isExecutableFile(atPath: "\($0)/mpirun")
  }

  /// The path of a file of the test's directory.
  func path(_ name: String) -> String { directory.path + "/" + name }

  /// Writes a file of the test's directory, with its parents.
  func write(_ name: String, _ text: String) throws {
    let url = URL(fileURLWithPath: path(name))
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: url)
  }

  /// The text of a file of the test's directory.
  func read(_ name: String) throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }

  /// Runs `retort` with these arguments to its end, under a time limit.
  ///
  /// - Parameters:
  ///   - ranks: how many ranks under mpirun; 0: alone.
  ///   - environment: variables in addition to this process's own; the token cache lies in the test's directory.
  ///   - limit: seconds after which it is killed, and the code is 137.
  func run(_ arguments: String..., ranks: Int = 0, environment: [String: String] = [:], limit: Double = 120) throws
    -> Result
  {
    try run(arguments, ranks: ranks, environment: environment, limit: limit)
  }

  func run(_ arguments: [String], ranks: Int = 0, environment: [String: String] = [:], limit: Double = 120) throws
    -> Result
  {
    let script = Command.script(ranks: ranks)
    return try shell(script, [Shared.packageRoot, Command.binary] + arguments, environment: environment, limit: limit)
  }

  /// A line of bash that becomes its arguments, under mpirun unless `ranks` is 0; `$0` is the checkout.
  static func script(ranks: Int) -> String {
    // The flags of mpirun come from launch/lib/mpi.sh, the one file that knows which suit a machine.
    ranks == 0
      ? "exec \"$@\""
      : ". \"$0/launch/lib/common.sh\"; . \"$0/launch/lib/mpi.sh\"; local_mpirun_flags \(ranks); "
        + "exec mpirun \"${mpirun_flags[@]}\" \"$@\""
  }

  /// The environment of a command: this process's own, with a cache in the test's directory.
  var environment: [String: String] {
    ProcessInfo.processInfo.environment.merging(
      ["RETORT_CACHE": path("cache"), "RETORT": Command.binary, "NO_COLOR": "1"]) { $1 }
  }

  /// Runs a line of bash in the test's directory; `$RETORT` is the binary, `arguments` are `$0`, `$1`, ….
  @discardableResult func shell(
    _ script: String, _ arguments: [String] = [], environment: [String: String] = [:], limit: Double = 120
  ) throws -> Result {
    // Files and not pipes: nothing waits for a reader, and what a killed command said is kept.
    let (out, err) = (path(".out-\(UUID().uuidString)"), path(".err-\(UUID().uuidString)"))
    let process = try ChildProcess(
      bash: script, arguments.isEmpty ? ["bash"] : arguments,
      environment: self.environment.merging(environment) { $1 }, directory: directory.path, output: out, errors: err)
    var code = process.wait(limit)
    if code == nil {
      // mpirun passes SIGTERM on to its ranks; SIGKILL would leave them alone at work.
      process.send(SIGTERM)
      if process.wait(5) == nil {
        process.send(SIGKILL)
        _ = process.wait(5)
      }
      code = 137
    }
    defer { for file in [out, err] { try? FileManager.default.removeItem(atPath: file) } }
    func text(_ path: String) -> String { FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? "" }
    return Result(code: code ?? 137, output: text(out), errors: text(err))
  }
}
