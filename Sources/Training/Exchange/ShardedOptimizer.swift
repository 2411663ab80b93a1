import Collectives

/// Sharded optimizer (ZeRO-1): a rank has the moments of its blocks and updates these.
///
/// The two halves of an allreduce, with the update between them: reduce-scatters of gradients during the last pass,
/// all-gathers of weights after the update.
final class ShardedOptimizer: WholeGradientStrategy {
  static let parts = KeptParts()

  private let work: ExchangeWork
  let gradients: WholeGradients

  init(_ work: ExchangeWork) {
    self.work = work
    gradients = WholeGradients(work)
  }

  func finish() throws -> Double { try gradients.finish() }

  func distribute() throws {
    try work.times.measure(\.weights) {
      try work.flat.gatherBlocks(of: work.flat.values, for: .weights, on: work.communicator)
    }
  }
}
