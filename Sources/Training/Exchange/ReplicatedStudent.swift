import Autograd
import Collectives

/// Nothing is sharded: every rank has the sums of all gradients and updates all weights.
///
/// The two halves of an allreduce: reduce-scatters during the last pass, all-gathers of the sums after it.
final class ReplicatedStudent: WholeWeights {
  static let parts = KeptParts(updated: .whole)

  private let work: ExchangeWork
  private let gradients: WholeGradients

  init(_ work: ExchangeWork) {
    self.work = work
    gradients = WholeGradients(work)
  }

  let sendsEveryPass = false
  let peakTransientBytes = 0

  func begin() { gradients.begin() }
  func beginPass(isLast: Bool) { gradients.beginPass(isLast: isLast) }
  func gradientReady(_ parameter: Parameter) throws { try gradients.complete(parameter) }
  func afterOperation() throws { try gradients.poll() }
  func endPass() throws {}

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
