import Foundation
import Testing

/// Tests that train for longer than a few seconds, one after the other: each takes all cores.
///
/// Their files extend this suite. They run where `RETORT_BINARY` names a release build; a debug build takes minutes.
/// `launch/test` runs them apart from other tests: a command blocks a thread of the pool that runs tests, so the time of
/// a test that waits for a thread would count against its limit.
@Suite(
  .serialized, .enabled(if: Command.hasMPI, "mpirun is missing"),
  .enabled(if: Command.isNamed, "long: RETORT_BINARY names no release build"))
enum WholeChainTests {}

extension Command {
  /// Whether the environment says which binary is tested.
  static let isNamed: Bool = ProcessInfo.processInfo.environment["RETORT_BINARY"] != nil

  /// A command that should have succeeded.
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  /// Runs `retort` like `run`, and throws what it said unless it ends with 0. One rank runs without mpirun.
  @discardableResult func succeed(
    _ arguments: [String], ranks: Int = 1, environment: [String: String] = [:], limit: Double = 120
  ) throws -> Result {
    let result = try run(arguments, ranks: ranks == 1 ? 0 : ranks, environment: environment, limit: limit)
    guard result.code == 0 else {
      throw Failure(
        description: "exit code \(result.code) on \(ranks) ranks: retort \(arguments.joined(separator: " "))\n"
          + result.said)
    }
    return result
  }

  @discardableResult func succeed(
    _ arguments: String..., ranks: Int = 1, environment: [String: String] = [:], limit: Double = 120
  ) throws -> Result {
    try succeed(arguments, ranks: ranks, environment: environment, limit: limit)
  }

  /// Expects a refusal: this exit code, and one line with this text, whatever the number of ranks.
  func expectRefusal(
    _ code: Int32, _ text: String, ranks: Int = 1, _ arguments: String..., at place: SourceLocation = #_sourceLocation
  ) throws {
    let result = try run(arguments, ranks: ranks == 1 ? 0 : ranks)
    let lines = result.said.split(whereSeparator: \.isNewline).filter { $0.contains(text) }
    #expect(
      result.code == code && lines.count == 1, "\(ranks) ranks: \(result.code) \(result.said)", sourceLocation: place)
  }

  /// Removes something of the test's directory, if it is there.
  func remove(_ name: String) throws { if exists(name) { try FileManager.default.removeItem(atPath: path(name)) } }

  /// Renames something of the test's directory.
  func move(_ name: String, to other: String) throws {
    try FileManager.default.moveItem(atPath: path(name), toPath: path(other))
  }
}

/// A `--set` for each assignment.
func setting(_ assignments: String...) -> [String] { assignments.flatMap { ["--set", $0] } }
