import ArgumentParser
import Collectives
import Platform

/// `--trace` and `--trace-steps`, for every command that trains.
struct TraceOptions: ParsableArguments {
  @Option(help: "Writes a timeline of all ranks into this file, for ui.perfetto.dev or chrome://tracing.")
  var trace: String?
  @Option(
    help: "The optimizer steps of each chain step in the timeline: FIRST-LAST, counted from 1 (default: 1-100).")
  var traceSteps: String?

  func validate() throws {
    if traceSteps != nil && trace == nil { throw ValidationError("--trace-steps needs --trace FILE") }
    if let traceSteps, TraceOptions.range(traceSteps) == nil {
      throw ValidationError("--trace-steps is FIRST-LAST with 1 ≤ FIRST ≤ LAST, such as 11-60, not \"\(traceSteps)\"")
    }
  }

  static func range(_ text: String) -> ClosedRange<Int>? {
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
    guard ends.count == 2, let first = ends[0], let last = ends[1], first >= 1, first <= last,
      last <= largestCount
    else { return nil }
    return first...last
  }

  /// Refuses a file that cannot be written before anything runs; creates nothing. Collective.
  func requireWritable(on communicator: any Communicator) throws {
    guard let trace else { return }
    try communicator.agree {
      guard communicator.isFirst else { return }
      do { try OutputFile.requireWritable(trace) } catch {
        var error = RetortError.wrap(error)
        error.location = "--trace \(trace)"
        error.remedy = "name a file in a writable directory"
        throw error
      }
      if try OutputFile.place(of: trace).isStandardOutput {
        throw RetortError(
          .configuration, "is standard output, which the command itself uses", at: "--trace \(trace)",
          remedy: "name a file")
      }
    }
  }

  /// Records the body and writes the timeline however the body ends; collective.
  ///
  /// - Parameter note: receives remarks for the user.
  func record(on communicator: any Communicator, note: (String) -> Void, _ body: () throws -> Void) throws {
    guard let trace else { return try body() }
    let limits = Trace.Limits(steps: traceSteps.flatMap(TraceOptions.range) ?? Trace.Limits().steps)
    try requireWritable(on: communicator)
    try Trace.start(on: communicator, limits: limits)
    let result = Result { try body() }
    let recorded = Trace.stop()
    switch result {
    case .success:
      if let remark = try recorded?.write(to: trace, on: communicator) { note(remark) }
      note("timeline of \(communicator.size) \(communicator.size == 1 ? "rank" : "ranks"): \(trace)")
    case .failure(let error):
      // The user needs the error of the command, not one of the trace.
      if RetortError.wrap(error).isCollective || communicator.size == 1 {
        _ = try? recorded?.write(to: trace, on: communicator)
      } else {
        try? recorded?.writeAlone(to: Trace.path(trace, ofRank: communicator.rank))
      }
      throw error
    }
  }
}
