import Autograd
import Collectives
import Optimizers
import Platform
import Tensors

/// The weights of a student that all ranks of a node read in one place, with their bf16 copies.
///
///     update    each rank updates its blocks and rounds them, those first that a pass reads first;
///               blocks of other nodes arrive by message
///     enter     a pass waits for the buckets of the block that it enters
///
/// Between two updates nobody writes. An update begins when all ranks have finished the backward passes of the step,
/// since they have agreed on the gradient's norm.
final class SharedWeights {
  private let work: ExchangeWork
  /// The bf16 copies of the whole buffer, once a node; nil in float32.
  private let copies: Tensor?
  /// How many buckets a rank of this node has updated since the start.
  private let updated: NodeSignal
  /// The number of buckets updated before the current update.
  private var before: UInt64 = 0
  private var total: UInt64 = 0
  /// For each block of the model: the number of buckets, in the order of updates, that it waits for.
  private let needs: [UInt64]
  /// Whether values were written other than by an update, so that the copies are outdated.
  private var isChanged = true
  private var failure: (any Error)?
  /// With weights that travel in bf16: those that travel in float32 all the same; nil if all do.
  private let unrounded: UnroundedParts?
  /// Whether this node lacks the float32 values of other nodes' weights.
  private var lacksMasters = false

  init(_ work: ExchangeWork, precision: Precision) throws {
    self.work = work
    let flat = work.flat
    updated = work.grid.node.signal()
    copies = precision == .bf16 && flat.count > 0 ? try work.buffers.shared([flat.count], .bfloat16) : nil
    if let copies {
      work.copies.adopt(
        zip(flat.parameters, flat.ranges).map { ($0, copies.slice(at: $1.lowerBound, $0.shape)) })
    }
    let isRounded = copies != nil && work.options.weights == .bf16 && work.grid.lane.size > 1
    unrounded = isRounded ? UnroundedParts(flat, work.grid) : nil
    var bucketOf: [ObjectIdentifier: Int] = [:]
    for (bucket, members) in flat.members.enumerated() {
      for index in members { bucketOf[ObjectIdentifier(flat.parameters[index])] = bucket }
    }
    needs = work.blocks.map { block in
      let first = block.compactMap { bucketOf[ObjectIdentifier($0)] }.min()
      return first.map { UInt64(flat.buckets.count - $0) } ?? 0
    }
  }

  /// Notes that weights were written other than by an update.
  func noteChange() { isChanged = true }

  /// After changes, rounds the weights; collective, once all ranks of the node have made the changes.
  func refresh() throws {
    guard isChanged else { return }
    isChanged = false
    guard let copies else { return }
    let (count, size, rank) = (work.flat.count, work.grid.node.size, work.grid.node.rank)
    let part = count * rank / size..<count * (rank + 1) / size
    round(part, into: copies)
    try work.grid.node.barrier()
  }

  /// Waits until a pass can read the weights of a block.
  ///
  /// A pass cannot throw here; `throwFailure` reports an error afterwards.
  func enter(_ block: Int) {
    let value = min(total, before + needs[block])
    if failure != nil || updated.hasReached(value) { return }
    do { try Trace.detail("wait for weights") { try updated.wait(value) } } catch { failure = error }
  }

  /// Throws the error of an `enter`, if there was one.
  func throwFailure() throws { if let failure { throw failure } }

  /// Has all weights in float32, with their values of the last update; collective.
  func gatherMasters() throws {
    try updated.wait(total)
    guard lacksMasters else { return }
    lacksMasters = false
    try work.flat.buckets.indices.map(gather).waitAll()
    try work.grid.node.barrier()
  }

  /// Updates this rank's blocks and gives every node those of the others.
  func update(_ step: WeightUpdate) throws {
    let flat = work.flat
    before = total
    lacksMasters = unrounded != nil
    var arriving: [(bucket: Int, operation: PendingOperation)] = []
    // The last bucket has the weights that a pass reads first.
    for bucket in flat.buckets.indices.reversed() {
      step.apply(flat, bucket: bucket, rounded: copies)
      if work.grid.lane.size > 1 {
        arriving.append((bucket, try unrounded == nil ? gather(bucket) : gatherRounded(bucket)))
      } else {
        total += 1
        updated.post(total)
      }
    }
    if arriving.isEmpty { return }
    try Trace.detail("gather weights") {
      for (bucket, operation) in arriving {
        try work.times.measure(\.weights) { try operation.wait() }
        if let copies, unrounded == nil { round(region(bucket), into: copies) }
        total += 1
        updated.post(total)
      }
    }
  }

  /// This rank's lane of a bucket: its block and those that it receives for its node.
  private func region(_ bucket: Int) -> Range<Int> { work.region(bucket, ofLane: work.grid.node.rank) }

  private func gather(_ bucket: Int) throws -> PendingOperation {
    try work.gatherLane(bucket, of: work.flat.values, for: .weights)
  }

  /// Gathers the copies, and the float32 values of weights that have none that is read.
  private func gatherRounded(_ bucket: Int) throws -> PendingOperation {
    guard let copies, let unrounded else { return .completed() }
    let region = region(bucket)
    let start = UnsafeMutableRawPointer(copies.bf16Words + region.lowerBound).assumingMemoryBound(to: UInt8.self)
    let rest = unrounded.collect(bucket, from: work.flat.values)
    let operations = try Traffic.counting(.weights) {
      [
        try work.grid.lane.iAllGather(
          UnsafeMutableBufferPointer(start: start, count: 2 * region.count), keeping: copies.storage),
        try work.grid.lane.iAllGather(rest.buffer, keeping: rest.storage),
      ]
    }
    let values = work.flat.values
    return SteppedOperation { waits in
      if waits { try operations.waitAll() } else if try !operations.testAll() { return false }
      unrounded.spread(bucket, rest, into: values)
      return true
    }
  }

  private func round(_ range: Range<Int>, into copies: Tensor) {
    ThreadTeam.split(range.count, unit: 64, cost: 2) { part in
      let first = range.lowerBound + part.lowerBound
      work.flat.values.slice(at: first, [part.count]).rounded(into: copies.slice(at: first, [part.count]))
    }
  }
}

/// The weights of an optimizer step, from its gradients.
struct WeightUpdate {
  let optimizer: AdamW
  /// The number of the step in its stage, from 1.
  let step: Int
  let learningRate: Double
  /// The factor on gradients, from clipping.
  let gradientScale: Double

  /// Updates the elements of a bucket that this rank updates.
  ///
  /// - Parameter rounded: gets the bf16 copies of the updated elements; indexed as the flat buffer.
  func apply(_ flat: FlatParameters, bucket: Int, rounded: Tensor? = nil) {
    optimizer.update(
      flat.values, gradients: flat.gradients, rounded: rounded, segments: flat.segmentsOfBuckets[bucket], step: step,
      learningRate: learningRate, gradientScale: gradientScale)
  }
}
