import Platform

extension Communicator {
  /// Throws `.stopped` on all ranks if any of them was asked to stop; collective, one small allreduce.
  ///
  /// - Parameter moment: when the run stops and what that means, such as "before the first step; nothing has been
  ///   written".
  package func requireNoStop(_ moment: String) throws {
    if try any(StopRequest.isPending) { throw stopped(moment) }
  }

  fileprivate func stopped(_ moment: String) -> RetortError {
    var error = StopRequest.error(moment)
    error.isCollective = true
    return error
  }
}

/// Tells ranks whose loops have equally many rounds that one of them was asked to stop.
///
///     round r:   wait for the maximum of round r − 1 ─ begin the maximum of round r ─ work
///
/// The small allreduce overlaps the work of the round, so ranks act on a request at most one round late.
package final class StopRounds {
  private let communicator: any Communicator
  private let moment: String
  private let flag = UnsafeMutableBufferPointer<Int32>.allocate(capacity: 1)
  private var pending: PendingOperation?

  /// - Parameter moment: as for `requireNoStop`.
  package init(_ moment: String, on communicator: any Communicator) {
    self.moment = moment
    self.communicator = communicator
  }

  /// Begins a round; collective. Throws `.stopped` on all ranks if one of them was asked before the previous round.
  package func begin() throws {
    try finish()
    flag[0] = StopRequest.isPending ? 1 : 0
    pending = try communicator.iAllReduce(flag, .max, keeping: self)
  }

  /// Ends the last round; collective. Throws `.stopped` on all ranks.
  package func finish() throws {
    guard let pending else { return }
    try pending.wait()
    self.pending = nil
    if flag[0] > 0 { throw communicator.stopped(moment) }
  }

  deinit { flag.deallocate() }
}
