import CKernels
import Collectives
import Platform
import Tensors

/// Sums gradients over all ranks: first over the ranks of a node, where they lie, then over the nodes, by messages.
///
///     a bucket on 2 nodes of 2 ranks       | lane 0: (0,0) (1,0) | lane 1: (0,1) (1,1) |
///     rank (n, i) reads lane i's part of its node's buffers and writes their sum into its own     Σ over the node
///     then the ranks of lane i exchange the blocks of that part                                   Σ over the nodes
///
/// Every rank starts its sums in the same order, and takes them in it. Sums on a node are in the order of its ranks,
/// and sums over nodes in the order of nodes, so runs repeat bit for bit.
final class RegionSums {
  /// A sum that some ranks may not have finished.
  private final class Sum {
    let sequence: UInt64
    let buffers: RankBuffers
    /// Where this rank's part of the sum begins in its buffer, and whether that is so in the others' buffers too.
    let place: SumPlace
    /// This rank's part of the sum, in elements after the place.
    let region: Range<Int>
    /// The part in this rank's own buffer.
    let part: Tensor
    let purpose: Traffic.Purpose
    /// Identifies the gradients over steps.
    let key: Int
    /// Called with this rank's block when it has the sum over all ranks.
    let finish: ((Tensor) -> Void)?
    /// The sum over nodes, once that over the node is taken.
    var lane: PendingOperation?
    var roundedLane: RoundedLaneSum?
    var isTaken = false

    init(
      _ sequence: UInt64, _ buffers: RankBuffers, _ place: SumPlace, region: Range<Int>, _ purpose: Traffic.Purpose,
      key: Int, _ finish: ((Tensor) -> Void)?
    ) {
      self.sequence = sequence
      self.buffers = buffers
      self.place = place
      self.region = region
      part = buffers.own.slice(at: place.offset + region.lowerBound, [region.count])
      self.purpose = purpose
      self.key = key
      self.finish = finish
    }
  }

  private let grid: RankGrid
  /// The number of the last sum whose gradients a rank has finished.
  private let ready: NodeSignal
  /// The number of the last sum that a rank has taken: it reads the others' gradients no more.
  private let taken: NodeSignal
  private var started: UInt64 = 0
  private var waiting: [Sum] = []
  /// Where each rank of the node has the parts of its latest sums that are somewhere else in each rank's buffer.
  private let offsets: UnsafeMutablePointer<Int>
  private let offsetMemory: Tensor
  /// The most of these sums that a rank starts before all ranks have taken the first of them.
  private static let mostMoving = 16

  /// What rounding has left out of the sums that this rank has sent, by the place of the part.
  private var errors: [Int: Tensor] = [:]
  private let wire: ExchangeOptions.Wire

  /// - Parameter wire: how gradients travel between nodes; rows of tables travel in float32.
  init(_ buffers: StudentBuffers, _ wire: ExchangeOptions.Wire = .fp32) throws {
    grid = buffers.grid
    self.wire = wire
    ready = grid.node.signal()
    taken = grid.node.signal()
    offsetMemory = try buffers.shared([2 * grid.node.size * RegionSums.mostMoving])
    offsets = UnsafeMutableRawPointer(offsetMemory.floats).assumingMemoryBound(to: Int.self)
  }

  /// Starts the sum of a part of each rank's buffer; block `place` of this rank's part receives it.
  ///
  /// The part is divided into one block for each rank. When the operation is complete, no rank reads this rank's part.
  ///
  /// - Parameters:
  ///   - key: equal for the sums of the same gradients in all steps, and different for others.
  ///   - finish: called with this rank's block once it has the sum.
  func start(
    _ buffers: RankBuffers, _ place: SumPlace, count: Int, for purpose: Traffic.Purpose, key: Int = 0,
    _ finish: ((_ block: Tensor) -> Void)? = nil
  ) throws -> PendingOperation {
    if grid.size == 1 || count == 0 {
      finish?(buffers.own.slice(at: place.offset, [count]))
      return .completed()
    }
    started += 1
    let region = count / buffers.size
    let first = grid.node.rank * region
    let sum = Sum(started, buffers, place, region: first..<first + region, purpose, key: key, finish)
    waiting.append(sum)
    if case .moving(let offset) = place { offsets[slot(of: grid.node.rank, started)] = offset }
    ready.post(started)
    let operation = SteppedOperation { [self] waits in try advance(sum, waits: waits) }
    operation.transfer = Trace.transfer("sum of gradients", bytes: 4 * count)
    return operation
  }

  private func slot(of rank: Int, _ sequence: UInt64) -> Int {
    rank * RegionSums.mostMoving + Int(sequence % UInt64(RegionSums.mostMoving))
  }

  /// Takes the sums whose gradients all ranks of the node have finished.
  func progress() throws {
    while let next = waiting.first, ready.hasReached(next.sequence) { try take(next) }
  }

  private func take(_ sum: Sum) throws {
    waiting.removeFirst()
    addParts(sum)
    sum.isTaken = true
    taken.post(sum.sequence)
    guard grid.lane.size > 1 else {
      sum.finish?(sum.part)
      return
    }
    if wire == .bf16, sum.purpose == .gradients {
      sum.roundedLane = try Traffic.counting(sum.purpose) {
        try RoundedLaneSum(
          sum.part, errors: error(of: sum), tag: Int(sum.sequence % RegionSums.tags), on: grid.lane)
      }
      return
    }
    let block = sum.part.count / grid.lane.size
    sum.lane = try Traffic.counting(sum.purpose) {
      try grid.lane.iReduceScatter(
        UnsafeBufferPointer(sum.part.buffer),
        into: UnsafeMutableBufferPointer(start: sum.part.floats + grid.lane.rank * block, count: block),
        keeping: sum.part.storage)
    }
  }

  /// Forgets what rounding has left out: a gradient that is not finite would stay in every later sum.
  func forgetErrors() { errors = [:] }

  private static let tags: UInt64 = 1 << 14

  private func error(of sum: Sum) -> Tensor {
    if let error = errors[sum.key] { return error }
    let error = Tensor.zeros([sum.part.count])
    errors[sum.key] = error
    return error
  }

  /// Sums this rank's part over the ranks of the node, in their order, into its own buffer.
  private func addParts(_ sum: Sum) {
    guard sum.buffers.size > 1 else { return }
    let sources = (0..<sum.buffers.size).map { rank -> UnsafePointer<Float> in
      var start = sum.place.offset
      if case .moving = sum.place { start = offsets[slot(of: rank, sum.sequence)] }
      return UnsafePointer(sum.buffers.tensor(of: rank).floats + start + sum.region.lowerBound)
    }
    let gap = sources[1] - sources[0]
    let areEven = zip(sources, sources.dropFirst()).allSatisfy { $1 - $0 == gap } && gap > 0
    ThreadTeam.split(sum.part.count, unit: 64, cost: sources.count + 1) { range in
      let target = sum.part.floats + range.lowerBound
      if areEven { return rtk_sum_parts(target, sources[0] + range.lowerBound, sources.count, gap, range.count) }
      // The target is one of the sources, so it is written last.
      let width = 2048
      withUnsafeTemporaryAllocation(of: Float.self, capacity: width) { total in
        guard let total = total.baseAddress else { return }
        for start in stride(from: range.lowerBound, to: range.upperBound, by: width) {
          let count = min(width, range.upperBound - start)
          total.update(from: sources[0] + start, count: count)
          for source in sources.dropFirst() { rtk_add(total, total, source + start, count) }
          (sum.part.floats + start).update(from: total, count: count)
        }
      }
    }
  }

  private func advance(_ sum: Sum, waits: Bool) throws -> Bool {
    try progress()
    while waits, !sum.isTaken, let next = waiting.first {
      try ready.wait(next.sequence)
      try progress()
    }
    guard sum.isTaken else { return false }
    if let lane = sum.roundedLane {
      if waits { try lane.wait() } else if try !lane.test() { return false }
      let block = lane.sum()
      sum.finish?(block)
      sum.roundedLane = nil
    }
    if let lane = sum.lane {
      if waits { try lane.wait() } else if try !lane.test() { return false }
      let block = sum.part.count / grid.lane.size
      sum.finish?(sum.part.slice(at: grid.lane.rank * block, [block]))
      sum.lane = nil
    }
    if waits { try taken.wait(sum.sequence) }
    return taken.hasReached(sum.sequence)
  }
}

/// Where a part of the ranks' buffers begins that is summed.
enum SumPlace {
  /// At the same element of each rank's buffer.
  case fixed(Int)
  /// At an element that each rank has chosen.
  case moving(Int)

  /// This rank's element.
  var offset: Int {
    switch self {
    case .fixed(let offset), .moving(let offset): offset
    }
  }
}
