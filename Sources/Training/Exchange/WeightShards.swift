import Autograd
import Collectives
import Platform
import Tensors

/// Sharded weights (ZeRO-3): each rank keeps its blocks; the weights of a layer are present while a pass is in it.
///
///     forward    | 0 | 1 | … | B−1 |              entering a block waits for its weights, releases those that neither
///     backward                     | B−1 | … | 0 |   it nor the next one reads, and requests those of the next one
///
/// All ranks request weights and send gradients in the order of this route, whichever blocks a pass enters: a rank
/// without examples follows the route without computing.
final class WeightShards {
  private let flat: FlatParameters
  private let gradients: GradientShards
  private let copies: BF16Weights
  private let communicator: any Communicator
  private let times: ExchangeTimes
  /// The buckets that a block reads: its own, then those of weights that it shares with an earlier block.
  private let bucketsOf: [[Int]]
  /// The buckets whose gradient is complete when the backward pass leaves the block.
  private let completeIn: [[Int]]
  private let bucketOf: [ObjectIdentifier: Int]
  private let absent: [Tensor]
  /// The weights that are in memory or in flight.
  private var present: [Int: (buffer: Tensor, arriving: PendingOperation?)] = [:]
  /// The blocks of the pass in order; its backward pass begins at `turn`.
  private var route: [Int] = []
  private var turn = 0
  private var position = -1
  private var failure: (any Error)?
  /// The most bytes of gathered buckets that have been in memory at one time.
  private(set) var peakBytes = 0

  /// Weights outside the flat buffer are ignored; bf16 copies are released with their weights.
  init(_ work: ExchangeWork, gradients: GradientShards) {
    flat = work.flat
    self.gradients = gradients
    copies = work.copies
    communicator = work.grid.ordered
    times = work.times
    var bucketOf: [ObjectIdentifier: Int] = [:]
    for (bucket, members) in flat.members.enumerated() {
      for index in members { bucketOf[ObjectIdentifier(flat.parameters[index])] = bucket }
    }
    self.bucketOf = bucketOf
    // Later blocks have lower bucket numbers.
    let known = bucketOf
    bucketsOf = work.blocks.map { Set($0.compactMap { known[ObjectIdentifier($0)] }).sorted() }
    var seen = Set<Int>()
    completeIn = bucketsOf.map { buckets in buckets.filter { seen.insert($0).inserted } }
    absent = flat.parameters.map(\.value)
  }

  /// Requests the first block's weights before a pass begins.
  func prefetch() { keepingFailure { try start(bucketsOf.first ?? []) } }

  /// Begins a pass through all blocks, and back if it trains.
  func begin(trains: Bool) {
    let blocks = Array(bucketsOf.indices)
    route = trains ? blocks + blocks.reversed() : blocks
    turn = blocks.count
    position = -1
  }

  /// Follows the route to a block, whose weights are readable then.
  func enter(_ block: Int, _ direction: PassDirection) {
    let target = direction == .forward ? block : route.count - 1 - block
    precondition(target >= position, "block \(block) was entered \(direction) after block \(route[max(0, position)])")
    keepingFailure { try advance(to: target) }
  }

  /// Ends a pass: follows the rest of the route, and throws the first error of the pass.
  func end() throws {
    keepingFailure {
      try advance(to: route.count - 1)
      if turn < route.count { try sendGradients(of: route.count - 1) }
    }
    if let failure { throw failure }
  }

  /// Releases all gathered weights, since the shards have new values or the weights are not needed for a while.
  func release() { for bucket in present.keys.sorted() { release(bucket) } }

  /// Gathers the weights of a parameter's bucket and releases all others; collective. A lookup table releases all.
  func hold(_ parameter: Parameter) throws {
    guard let bucket = bucketOf[ObjectIdentifier(parameter)] else { return release() }
    for other in present.keys.sorted() where other != bucket { release(other) }
    try start([bucket])
    try wait(bucket)
  }

  /// Gathers all weights; collective.
  func holdAll() throws {
    try start(Array(flat.buckets.indices))
    for bucket in flat.buckets.indices { try wait(bucket) }
  }

  /// Lets MPI move data in flight.
  func poll() throws {
    for case (_, let arriving?) in present.values where !arriving.isComplete { _ = try arriving.test() }
  }

  private func keepingFailure(_ body: () throws -> Void) {
    if failure != nil { return }
    do { try body() } catch { failure = error }
  }

  private func advance(to target: Int) throws { try times.measure(\.weights) { try follow(to: target) } }

  private func follow(to target: Int) throws {
    while position < target {
      position += 1
      if position > turn { try sendGradients(of: position - 1) }
      let next = route[position...].first { $0 != route[position] }
      let wanted = bucketsOf[route[position]] + (next.map { bucketsOf[$0] } ?? [])
      for bucket in present.keys.sorted() where !wanted.contains(bucket) { release(bucket) }
      try start(wanted)
      for bucket in bucketsOf[route[position]] { try wait(bucket) }
    }
  }

  private func sendGradients(of position: Int) throws {
    for bucket in completeIn[route[position]] { try gradients.send(bucket) }
  }

  private func start(_ buckets: [Int]) throws {
    for bucket in buckets where present[bucket] == nil {
      let shard = flat.shard(bucket, of: flat.values)
      // A single rank has the whole bucket.
      let buffer = flat.ranks == 1 ? shard : Tensor(uninitialized: [flat.buckets[bucket].count])
      if flat.ranks > 1 { buffer.slice(at: flat.rank * shard.count, [shard.count]).update(from: shard) }
      present[bucket] = (
        buffer, try Traffic.counting(.weights) { try communicator.iAllGather(buffer.buffer, keeping: buffer.storage) }
      )
    }
    peakBytes = max(peakBytes, flat.ranks == 1 ? 0 : 4 * present.values.reduce(0) { $0 + $1.buffer.count })
  }

  private func wait(_ bucket: Int) throws {
    guard case (let buffer, let arriving?)? = present[bucket] else { return }
    try Trace.detail("wait for weights") { try arriving.wait() }
    present[bucket] = (buffer, nil)
    for index in flat.members[bucket] {
      flat.parameters[index].value = flat.place(index, ofBucket: bucket, in: buffer)
    }
  }

  private func release(_ bucket: Int) {
    // Complete the gather first, so that all ranks have the same operations pending.
    keepingFailure { try wait(bucket) }
    present[bucket] = nil
    for index in flat.members[bucket] { flat.parameters[index].value = absent[index] }
    copies.forget(flat.members[bucket].map { flat.parameters[$0] })
  }
}
