import Autograd
import Collectives
import Tensors

/// Sharded parameters (ZeRO-3): as ZeRO-2, and a rank keeps only its blocks of the weights, which are gathered while a
/// pass is in their block of the model; the gradients of a block are sent when the backward pass leaves it.
final class ShardedParameters: ExchangeStrategy {
  static let parts = KeptParts(weights: .owned, gradients: .owned, cut: .byBlock)

  private let work: ExchangeWork
  private let shards: GradientShards
  private let weights: WeightShards

  init(_ work: ExchangeWork, precision: Precision) throws {
    self.work = work
    shards = try GradientShards(work)
    weights = WeightShards(work, gradients: shards)
  }

  let releasesWeights = true
  let sendsEveryPass = true
  var peakTransientBytes: Int { weights.peakBytes + shards.peakBytes }

  func begin() throws {
    weights.prefetch()
    shards.begin()
  }

  func beginPass(isLast: Bool) { weights.begin(trains: true) }
  func enter(_ block: Int, _ direction: PassDirection) { weights.enter(block, direction) }
  /// Does nothing: weights are released when the pass enters another block, which may read them too.
  func leave(_ block: Int, _ direction: PassDirection) {}
  func gradientNeeded(_ parameter: Parameter) { shards.need(parameter) }
  /// Does nothing: the buckets of a block are sent when the pass leaves it.
  func gradientReady(_ parameter: Parameter) throws {}

  func afterOperation() throws {
    try work.times.measure(\.progress) {
      try shards.poll()
      try weights.poll()
    }
  }

  func endPass() throws { try weights.end() }
  func finish() throws -> Double { try shards.finish() }

  /// Also releases the weights of before the update; the next pass gathers them again.
  func update(_ step: WeightUpdate) throws {
    for bucket in work.flat.buckets.indices { step.apply(work.flat, bucket: bucket) }
    weights.release()
  }

  func refresh() throws { work.copies.invalidate() }
  func noteChange() {}

  func beginReading() { weights.begin(trains: false) }
  func endReading() throws { try weights.end() }
  func hold(_ parameter: Parameter) throws { try weights.hold(parameter) }
  func holdAll() throws { try weights.holdAll() }
  func release() { weights.release() }
}
