import Platform

extension Communicator {
  /// Ends the run on all ranks where any of them was asked to stop; collective, one small allreduce.
  ///
  /// - Parameter moment: when that is and what it means, such as "before the first step; nothing has been written".
  /// Throws `.stopped`, on all ranks.
  public func requireNoStop(_ moment: String) throws {
    if try any(StopRequest.isPending) { throw stopped(moment) }
  }

  fileprivate func stopped(_ moment: String) -> RetortError {
    var error = StopRequest.error(moment)
    error.isCollective = true
    return error
  }
}

/// Lets ranks whose loops have equally many rounds find out in the loop that one of them was asked to stop.
///
///     round r:   wait for the sum of round r − 1 ─ begin the sum of round r ─ work
///
/// The small sum travels while the round works, so that ranks wait for each other a round late at most.
public final class StopRounds {
  private let communicator: any Communicator
  private let moment: String
  private let flag = UnsafeMutableBufferPointer<Int32>.allocate(capacity: 1)
  private var travelling: PendingOperation?

  /// - Parameter moment: as for `requireNoStop`.
  public init(_ moment: String, on communicator: any Communicator) {
    self.moment = moment
    self.communicator = communicator
  }

  /// A round begins; collective. Throws `.stopped`, on all ranks, where one had been asked when the round before began.
  public func begin() throws {
    try finish()
    flag[0] = StopRequest.isPending ? 1 : 0
    travelling = try communicator.iAllReduce(flag, .max, keeping: self)
  }

  /// The last round has ended; collective. Throws `.stopped`, on all ranks.
  public func finish() throws {
    guard let travelling else { return }
    try travelling.wait()
    self.travelling = nil
    if flag[0] > 0 { throw communicator.stopped(moment) }
  }

  deinit { flag.deallocate() }
}
