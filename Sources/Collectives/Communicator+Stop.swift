import Platform

extension Communicator {
  /// Ends the run on all ranks where any of them was asked to stop; collective, one small allreduce.
  ///
  /// - Parameter moment: when that is and what it means, such as "before the first step; nothing has been written".
  /// Throws `.stopped`, on all ranks.
  public func requireNoStop(_ moment: String) throws {
    guard try any(StopRequest.isPending) else { return }
    var error = RetortError(
      .stopped, "stopped on request \(moment)", remedy: "run the same command again to continue")
    error.isCollective = true
    throw error
  }
}
