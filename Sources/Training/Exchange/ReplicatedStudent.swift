import Collectives

/// Nothing is sharded: every rank has the sums of all gradients and updates all weights.
///
/// The two halves of an allreduce: reduce-scatters during the last pass, all-gathers of the sums after it.
final class ReplicatedStudent: WholeGradientStrategy {
  static let parts = KeptParts(updated: .whole)

  private let work: ExchangeWork
  let gradients: WholeGradients

  init(_ work: ExchangeWork) {
    self.work = work
    gradients = WholeGradients(work)
  }

  func finish() throws -> Double {
    let squares = try gradients.finish()
    try work.times.measure(\.weights) {
      try work.flat.gatherBlocks(of: work.flat.gradients, for: .gradients, on: work.communicator)
    }
    return squares
  }

  /// Does nothing: every rank has updated all weights.
  func distribute() throws {}
}
