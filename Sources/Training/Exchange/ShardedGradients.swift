import Autograd
import Collectives

/// Sharded gradients (ZeRO-2): as ZeRO-1, and a rank keeps only the sums of its blocks, so buckets are sent in every
/// pass.
final class ShardedGradients: WholeWeights {
  static let parts = KeptParts(gradients: .owned)

  private let work: ExchangeWork
  private let shards: GradientShards
  /// The buckets of a pass.
  private var order: SendingOrder

  init(_ work: ExchangeWork) {
    self.work = work
    shards = GradientShards(work)
    order = SendingOrder(work.flat.parametersOfBuckets)
  }

  let sendsEveryPass = true
  var peakTransientBytes: Int { shards.peakBytes }

  func begin() { shards.begin() }

  func beginPass(isLast: Bool) { order.restart() }

  func gradientNeeded(_ parameter: Parameter) { shards.need(parameter) }

  func gradientReady(_ parameter: Parameter) throws {
    order.complete(parameter)
    guard order.hasComplete else { return }
    try work.times.measure(\.progress) { while let bucket = order.takeComplete() { try shards.send(bucket) } }
  }

  func afterOperation() throws { try work.times.measure(\.progress) { try shards.poll() } }

  /// Sends the buckets that this rank has no gradients for.
  func endPass() throws {
    try work.times.measure(\.progress) { while let bucket = order.take() { try shards.send(bucket) } }
  }

  func finish() throws -> Double { try shards.finish() }

  func distribute() throws {
    try work.times.measure(\.weights) {
      try work.flat.gatherBlocks(of: work.flat.values, for: .weights, on: work.communicator)
    }
  }
}
