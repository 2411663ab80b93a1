import Autograd
import Collectives

/// Sharded optimizer (ZeRO-1): a rank has the moments of its blocks and updates these.
///
/// The two halves of an allreduce, with the update between them: reduce-scatters of gradients during the last pass,
/// all-gathers of weights after the update.
final class ShardedOptimizer: WholeWeights {
  static let parts = KeptParts()

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
  func finish() throws -> Double { try gradients.finish() }

  func distribute() throws {
    try work.times.measure(\.weights) {
      try work.flat.gatherBlocks(of: work.flat.values, for: .weights, on: work.communicator)
    }
  }
}
