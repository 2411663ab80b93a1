import Platform

/// A started nonblocking operation, which the caller must complete with `test` or `wait`.
///
/// MPI moves data only inside MPI calls, so a computing rank should call `test` from time to time. The operation keeps
/// its communicator, its scratch and the `keeping` object of the call alive until it is complete; the caller keeps
/// the buffers alive and untouched until then. An operation that is dropped earlier (while a failing rank unwinds) is
/// abandoned without waiting, since its peers may never answer; the job can then end only by `MPISession.abort`.
package class PendingOperation {
  /// Whether the operation is complete, and the caller may use the buffers again.
  package var isComplete: Bool {
    didSet { if isComplete { transfer?.end() } }
  }
  /// Its event in the trace, if one is recorded.
  package var transfer: Trace.Transfer?

  /// An operation that is complete already, or that a subclass completes.
  init(isComplete: Bool) { self.isComplete = isComplete }

  /// Lets data move; returns whether the operation is complete.
  package func test() throws -> Bool { isComplete }

  /// Returns when the operation is complete.
  package func wait() throws {}

  /// An operation that is complete from the start.
  package static func completed() -> PendingOperation { PendingOperation(isComplete: true) }
}

extension Sequence where Element == PendingOperation {
  /// Tests each operation; returns whether all are complete.
  package func testAll() throws -> Bool {
    var complete = true
    for operation in self where !(try operation.test()) { complete = false }
    return complete
  }

  /// Waits for each operation.
  package func waitAll() throws {
    for operation in self { try operation.wait() }
  }
}

/// An operation of several steps, which `advance` takes as far as they go.
package final class SteppedOperation: PendingOperation {
  private var advance: ((_ waits: Bool) throws -> Bool)?

  /// - Parameter advance: takes the steps that are possible now, or, if it may wait, all of them; returns whether the
  ///   operation is complete.
  package init(_ advance: @escaping (_ waits: Bool) throws -> Bool) {
    self.advance = advance
    super.init(isComplete: false)
  }

  package override func test() throws -> Bool {
    if isComplete { return true }
    if try advance?(false) ?? true { finish() }
    return isComplete
  }

  package override func wait() throws {
    if isComplete { return }
    while try !(advance?(true) ?? true) {}
    finish()
  }

  private func finish() {
    isComplete = true
    advance = nil
  }
}
