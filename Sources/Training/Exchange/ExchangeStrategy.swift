import Autograd
import Collectives
import Tensors

/// How the ranks divide a student's weights, gradients and moments, and therefore what they send when.
///
/// A strategy follows the passes of a step as the observer of their tapes. The moments of a step, all collective in
/// the order of their calls:
///
///     begin                    no gradients yet
///     per pass   beginPass
///                  enter, leave                   the pass moves through the blocks, forward and back
///                  gradientNeeded                 an operation adds to a gradient
///                  gradientReady, afterOperation  a gradient is complete; messages make progress
///                endPass
///     finish                   the sums over ranks are where the optimizer reads them
///     update                   each rank updates what it owns, and gets the rest before it reads it
///
/// `refresh` precedes the passes of a step and of an evaluation. Between steps `beginReading` and `endReading` enclose
/// a pass of an evaluation; `hold`, `holdAll` and `release` have weights in memory for checkpoints.
protocol ExchangeStrategy: TapeObserver {
  /// What a rank keeps of the flat buffers.
  static var parts: KeptParts { get }

  /// Throws `StudentBuffers.NotShared`.
  init(_ work: ExchangeWork, precision: Precision) throws

  /// Whether gradients are sent in every pass, so that all ranks need equally many passes and at least one.
  var sendsEveryPass: Bool { get }
  /// The most bytes that buckets took at one time besides what is kept.
  var peakTransientBytes: Int { get }

  /// Begins a step without gradients; the rows of lookup tables are on their way already.
  func begin() throws
  /// Begins a pass of this rank, with or without examples.
  ///
  /// - Parameter isLast: whether it is the last one of this rank's passes with examples.
  func beginPass(isLast: Bool)
  /// Ends a pass; throws the errors that it could not throw.
  func endPass() throws
  /// Sends what no gradient has completed (weights without a gradient, a rank without examples) and waits for all
  /// transfers: this rank's sums are in its part of the flat buffer and in its slots of the tables.
  ///
  /// - Returns: Σ gradient² of the elements of the flat buffer that this rank owns.
  func finish() throws -> Double
  /// Updates the weights, and gives the ranks what they need of those that others have updated.
  func update(_ step: WeightUpdate) throws

  /// Brings the copies of weights up to date that were changed other than by an update; collective.
  func refresh() throws
  /// Notes that weights were changed other than by an update; all ranks change them alike.
  func noteChange()

  /// Begins a forward pass without gradients; all ranks have the same number of these passes.
  func beginReading()
  /// Ends it; throws the errors that it could not throw.
  func endReading() throws
  /// Has a weight of the flat buffer whole in memory, and no others; collective.
  func hold(_ parameter: Parameter) throws
  /// Has all weights of the flat buffer whole in memory; collective.
  func holdAll() throws
  /// Releases the weights that a rank does not keep.
  func release()
}

/// What a strategy works on.
struct ExchangeWork {
  let grid: RankGrid
  let buffers: StudentBuffers
  let sums: RegionSums
  let flat: FlatParameters
  let tables: [TableExchange]
  /// The model's blocks, which determine when sharded weights are gathered and released.
  let blocks: [[Parameter]]
  /// bf16 copies of the weights.
  let copies: BF16Weights
  let options: ExchangeOptions
  let times: ExchangeTimes

  /// The elements of a bucket that a lane sums and gathers: a block of each node.
  func region(_ bucket: Int, ofLane lane: Int) -> Range<Int> {
    let range = flat.buckets[bucket]
    let width = range.count / grid.node.size
    let start = range.lowerBound + lane * width
    return start..<start + width
  }

  /// Starts to gather this rank's lane of a bucket from all nodes, in a whole buffer.
  func gatherLane(_ bucket: Int, of buffer: Tensor, for purpose: Traffic.Purpose) throws -> PendingOperation {
    if grid.lane.size == 1 { return .completed() }
    let region = region(bucket, ofLane: grid.node.rank)
    return try Traffic.counting(purpose) {
      try grid.lane.iAllGather(
        UnsafeMutableBufferPointer(start: buffer.floats + region.lowerBound, count: region.count),
        keeping: buffer.storage)
    }
  }
}

/// A strategy with all weights in memory at any time.
protocol WholeWeights: ExchangeStrategy {}

extension WholeWeights {
  var releasesWeights: Bool { false }
  func leave(_ block: Int, _ direction: PassDirection) {}
  func beginReading() {}
  func release() {}
}

/// A strategy whose weights are in memory once a node.
protocol SharedWeightStrategy: WholeWeights {
  var weights: SharedWeights { get }
  var times: ExchangeTimes { get }
}

extension SharedWeightStrategy {
  func enter(_ block: Int, _ direction: PassDirection) {
    if direction == .forward { times.measure(\.weights) { weights.enter(block) } }
  }
  func update(_ step: WeightUpdate) throws { try weights.update(step) }
  func refresh() throws { try weights.refresh() }
  func noteChange() { weights.noteChange() }
  func endPass() throws { try weights.throwFailure() }
  func endReading() throws { try weights.throwFailure() }
  func hold(_ parameter: Parameter) throws { try weights.gatherMasters() }
  func holdAll() throws { try weights.gatherMasters() }
}

/// A strategy that adds to whole gradients over all passes and sends them once a step (`WholeGradients`).
protocol WholeGradientStrategy: WholeWeights {
  var gradients: WholeGradients { get }
}

extension WholeGradientStrategy {
  var sendsEveryPass: Bool { false }
  var peakTransientBytes: Int { 0 }
  func begin() throws { gradients.begin() }
  func beginPass(isLast: Bool) { gradients.beginPass(isLast: isLast) }
  func gradientReady(_ parameter: Parameter) throws { try gradients.complete(parameter) }
  func afterOperation() throws { try gradients.poll() }
}

extension StudentSharding {
  /// The strategy of this sharding.
  var strategy: any ExchangeStrategy.Type {
    switch self {
    case .none: ReplicatedStudent.self
    case .optimizer: ShardedOptimizer.self
    case .gradients: ShardedGradients.self
    case .parameters: ShardedParameters.self
    }
  }
}
