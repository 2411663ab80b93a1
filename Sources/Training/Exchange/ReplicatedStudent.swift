import Autograd
import CKernels
import Collectives
import Tensors

/// Nothing is sharded: every rank has weights and moments of its own, gets the sums of all gradients, and updates all
/// weights.
final class ReplicatedStudent: WholeGradientStrategy {
  static let parts = KeptParts(areWeightsShared: false, updated: .whole)

  private let work: ExchangeWork
  let gradients: WholeGradients
  /// The number of steps whose sums a rank has in its buffer, and those that it has copied from the others.
  private let summed: NodeSignal
  private let copied: NodeSignal
  private var steps: UInt64 = 0

  init(_ work: ExchangeWork, precision: Precision) throws {
    self.work = work
    gradients = WholeGradients(work)
    summed = work.grid.node.signal()
    copied = work.grid.node.signal()
  }

  func finish() throws -> Double {
    let squares = try gradients.finish()
    try work.times.measure(\.weights) { try gatherSums() }
    return squares
  }

  /// Completes this rank's buffer: the blocks of its lane by message, those of other lanes from the node's memory.
  private func gatherSums() throws {
    guard work.grid.size > 1, let buffers = work.flat.rankGradients else { return }
    let (node, flat) = (work.grid.node, work.flat)
    try flat.buckets.indices.map { try work.gatherLane($0, of: flat.gradients, for: .gradients) }.waitAll()
    steps += 1
    summed.post(steps)
    try summed.wait(steps)
    for lane in 0..<node.size where lane != node.rank {
      let source = buffers.tensor(of: lane)
      for bucket in flat.buckets.indices {
        let part = work.region(bucket, ofLane: lane)
        flat.gradients.slice(at: part.lowerBound, [part.count])
          .update(from: source.slice(at: part.lowerBound, [part.count]))
      }
    }
    copied.post(steps)
  }

  func begin() throws {
    // The others may still copy this rank's sums of the last step.
    try copied.wait(steps)
    gradients.begin()
  }

  func update(_ step: WeightUpdate) throws {
    for bucket in work.flat.buckets.indices { step.apply(work.flat, bucket: bucket) }
  }

  /// Each pass rounds the weights again, so nothing depends on who changed them.
  func refresh() throws { work.copies.invalidate() }
  func noteChange() {}
  func enter(_ block: Int, _ direction: PassDirection) {}
  func endReading() throws {}
  func endPass() throws {}
  func hold(_ parameter: Parameter) throws {}
  func holdAll() throws {}
}
