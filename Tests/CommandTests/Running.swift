import Foundation

extension Command {
  /// A command at work, which the test waits for or stops. Its last reference ends it too.
  final class Running {
    private let process: ChildProcess
    private let log: String
    private let isUnderMPI: Bool

    fileprivate init(_ command: Command, _ arguments: [String], ranks: Int) throws {
      isUnderMPI = ranks > 0
      log = command.path(".log-\(UUID().uuidString)")
      process = try ChildProcess(
        bash: Command.script(ranks: ranks), [Command.root, Command.binary] + arguments,
        environment: command.environment, directory: command.directory.path, output: log, errors: log)
    }

    deinit { process.send(SIGTERM) }

    /// Sends a signal to one rank, and says whether there was one.
    @discardableResult func signal(_ signal: Int32) -> Bool {
      let own = process.identifier
      guard isUnderMPI else { return kill(own, signal) == 0 }
      let children = (try? String(contentsOfFile: "/proc/\(own)/task/\(own)/children", encoding: .utf8)) ?? ""
      let rank = children.split(separator: " ").compactMap { Int32($0) }.first {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\($0)/exe"))?.contains("retort") == true
      }
      return rank.map { kill($0, signal) == 0 } ?? false
    }

    /// Waits for the end, and kills the command after this many seconds, which makes the code 137.
    func wait(limit: Double = 60) -> Result {
      var code = process.wait(limit)
      if code == nil {
        process.send(SIGKILL)
        code = process.wait(5)
      }
      let said = FileManager.default.contents(atPath: log).map { String(decoding: $0, as: UTF8.self) } ?? ""
      return Result(code: code ?? 137, output: said, errors: "")
    }

    /// Waits until the student in this directory has taken so many optimizer steps; throws if the command ends first.
    func awaitSteps(_ count: Int, of output: String, in command: Command, limit: Double = 60) throws {
      let end = Date() + limit
      while try command.metrics(output).count < count {
        guard process.isRunning && Date() < end else {
          throw Failure(description: "\(output) did not come to step \(count): \(wait(limit: 0).said)")
        }
        usleep(20_000)
      }
    }
  }

  /// Starts `retort` with these arguments; one rank runs without mpirun.
  func start(_ arguments: [String], ranks: Int = 1) throws -> Running {
    try Running(self, arguments, ranks: ranks == 1 ? 0 : ranks)
  }
}
