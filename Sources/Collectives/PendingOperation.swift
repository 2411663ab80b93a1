import Platform

/// A nonblocking operation that has been started and must be waited for.
///
/// MPI moves data only inside MPI calls, so a rank that computes should call `test` now and then. The operation keeps
/// its communicator, its scratch and the `keeping` object of the call alive until it is complete; the caller keeps
/// the buffers alive and untouched until then. An operation that is dropped before it is complete (a failing rank
/// unwinding) is abandoned, not waited for, since its peers may never answer; the job can then only end by
/// `MPISession.abort`.
public class PendingOperation {
  /// Whether the buffers belong to the caller again.
  public internal(set) var isComplete: Bool {
    didSet { if isComplete { transfer?.end() } }
  }
  /// Its place in the trace, where one is written.
  var transfer: Trace.Transfer?

  init(isComplete: Bool) { self.isComplete = isComplete }

  /// Gives MPI a chance to move data; returns whether the operation is complete.
  public func test() throws -> Bool { isComplete }

  /// Returns when the operation is complete.
  public func wait() throws {}

  /// An operation that needed no waiting.
  static func completed() -> PendingOperation { PendingOperation(isComplete: true) }
}

extension Sequence where Element == PendingOperation {
  /// Tests each operation; returns whether all are complete.
  public func testAll() throws -> Bool {
    var complete = true
    for operation in self where !(try operation.test()) { complete = false }
    return complete
  }

  /// Waits for each operation.
  public func waitAll() throws {
    for operation in self { try operation.wait() }
  }
}
