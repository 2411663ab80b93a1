import Autograd
import Collectives
import Tensors

/// Sharded optimizer (ZeRO-1): a rank has the moments of its blocks and updates these, in weights that the ranks of a
/// node share.
final class ShardedOptimizer: WholeGradientStrategy, SharedWeightStrategy {
  static let parts = KeptParts()

  let gradients: WholeGradients
  let weights: SharedWeights
  let times: ExchangeTimes

  init(_ work: ExchangeWork, precision: Precision) throws {
    gradients = WholeGradients(work)
    weights = try SharedWeights(work, precision: precision)
    times = work.times
  }

  func finish() throws -> Double { try gradients.finish() }
}
