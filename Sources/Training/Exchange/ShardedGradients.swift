import Autograd
import Collectives
import Tensors

/// Sharded gradients (ZeRO-2): as ZeRO-1, and a rank keeps only the sums of its blocks, so buckets are sent in every
/// pass.
final class ShardedGradients: SharedWeightStrategy {
  static let parts = KeptParts(gradients: .owned)

  private let shards: GradientShards
  let weights: SharedWeights
  let times: ExchangeTimes
  /// The buckets of a pass.
  private var order: SendingOrder

  init(_ work: ExchangeWork, precision: Precision) throws {
    times = work.times
    shards = try GradientShards(work)
    weights = try SharedWeights(work, precision: precision)
    order = SendingOrder(work.flat.parametersOfBuckets)
  }

  let sendsEveryPass = true
  var peakTransientBytes: Int { shards.peakBytes }

  func begin() throws { shards.begin() }

  func beginPass(isLast: Bool) { order.restart() }

  func gradientNeeded(_ parameter: Parameter) { shards.need(parameter) }

  func gradientReady(_ parameter: Parameter) throws {
    order.complete(parameter)
    guard order.hasComplete else { return }
    try times.measure(\.progress) { while let bucket = order.takeComplete() { try shards.send(bucket) } }
  }

  func afterOperation() throws { try times.measure(\.progress) { try shards.poll() } }

  /// Sends the buckets that this rank has no gradients for.
  func endPass() throws {
    try weights.throwFailure()
    try times.measure(\.progress) { while let bucket = order.take() { try shards.send(bucket) } }
  }

  func finish() throws -> Double { try shards.finish() }
}
