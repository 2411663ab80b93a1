import Autograd
import Collectives
import Platform
import Tensors

/// Weights of which each rank keeps its blocks (ZeRO-3): the weights of a layer are there while a pass is in the layer.
///
///     forward    | 0 | 1 | … | B−1 |              entering a block waits for its weights, lets go what neither it nor
///     backward                     | B−1 | … | 0 |   the next one reads, and asks for those of the next one
///
/// Whatever the blocks that a pass really enters, ranks ask for weights and send gradients in the order of this route:
/// a rank that has no examples goes along it without computing anything.
final class WeightShards: BlockResidency {
  private let flat: FlatParameters
  private let gradients: GradientShards
  private let copies: BF16Weights
  private let communicator: any Communicator
  /// The buckets that a block reads: its own first, then those of weights that it shares with an earlier block.
  private let bucketsOf: [[Int]]
  /// The buckets whose gradient is complete when the backward pass leaves the block.
  private let completeIn: [[Int]]
  private let bucketOf: [ObjectIdentifier: Int]
  private let absent: [Tensor]
  /// Weights that are here, or on their way.
  private var present: [Int: (buffer: Tensor, arriving: PendingOperation?)] = [:]
  /// The blocks of the pass in order; those from `turn` on are its backward pass.
  private var route: [Int] = []
  private var turn = 0
  private var position = -1
  private var failure: (any Error)?
  /// Seconds that were spent on getting weights since somebody set it to zero.
  var seconds = 0.0
  /// The most bytes of whole buckets of weights that were in memory at one time.
  private(set) var peakBytes = 0
  private let clock = ContinuousClock()

  /// - Parameters:
  ///   - blocks: of the model; weights that are not in the buffer do not matter.
  ///   - copies: bf16 forms of the weights, which go with them.
  init(
    _ flat: FlatParameters, blocks: [[Parameter]], gradients: GradientShards, copies: BF16Weights,
    _ communicator: any Communicator
  ) {
    self.flat = flat
    self.gradients = gradients
    self.copies = copies
    self.communicator = communicator
    var bucketOf: [ObjectIdentifier: Int] = [:]
    for (bucket, members) in flat.members.enumerated() {
      for index in members { bucketOf[ObjectIdentifier(flat.parameters[index])] = bucket }
    }
    self.bucketOf = bucketOf
    // Later blocks have lower buckets.
    let known = bucketOf
    bucketsOf = blocks.map { Set($0.compactMap { known[ObjectIdentifier($0)] }).sorted() }
    var seen = Set<Int>()
    completeIn = bucketsOf.map { buckets in buckets.filter { seen.insert($0).inserted } }
    absent = flat.parameters.map(\.value)
  }

  /// Asks for the first block's weights, which a pass will want soon.
  func prefetch() { keepingFailure { try start(bucketsOf.first ?? []) } }

  /// Starts a pass through all blocks, and back again where it trains.
  func begin(trains: Bool) {
    let blocks = Array(bucketsOf.indices)
    route = trains ? blocks + blocks.reversed() : blocks
    turn = blocks.count
    position = -1
  }

  func enter(_ block: Int, _ direction: PassDirection) {
    let target = direction == .forward ? block : route.count - 1 - block
    precondition(target >= position, "block \(block) was entered \(direction) after block \(route[max(0, position)])")
    keepingFailure { try advance(to: target) }
  }

  /// Nothing: the weights are let go when the pass enters another block, and may be wanted there too.
  func leave(_ block: Int, _ direction: PassDirection) {}

  /// Ends a pass: goes the rest of the route, and throws what went wrong on it.
  func end() throws {
    keepingFailure {
      try advance(to: route.count - 1)
      if turn < route.count { try sendGradients(of: route.count - 1) }
    }
    if let failure { throw failure }
  }

  /// Lets all weights go, since the shards have others now or nobody reads them for a while.
  func letGo() { for bucket in present.keys.sorted() { letGo(bucket) } }

  /// Has the weights of a parameter's bucket in memory and no others; collective. One of a table lets all go.
  func hold(_ parameter: Parameter) throws {
    guard let bucket = bucketOf[ObjectIdentifier(parameter)] else { return letGo() }
    for other in present.keys.sorted() where other != bucket { letGo(other) }
    try start([bucket])
    try wait(bucket)
  }

  /// Has all weights in memory; collective.
  func holdAll() throws {
    try start(Array(flat.buckets.indices))
    for bucket in flat.buckets.indices { try wait(bucket) }
  }

  /// Lets MPI move what is on its way.
  func poll() throws {
    for case (_, let arriving?) in present.values where !arriving.isComplete { _ = try arriving.test() }
  }

  private func keepingFailure(_ body: () throws -> Void) {
    if failure != nil { return }
    do { try body() } catch { failure = error }
  }

  private func advance(to target: Int) throws {
    let start = clock.now
    defer { seconds += (clock.now - start).seconds }
    while position < target {
      position += 1
      if position > turn { try sendGradients(of: position - 1) }
      let next = route[position...].first { $0 != route[position] }
      let wanted = bucketsOf[route[position]] + (next.map { bucketsOf[$0] } ?? [])
      for bucket in present.keys.sorted() where !wanted.contains(bucket) { letGo(bucket) }
      try self.start(wanted)
      for bucket in bucketsOf[route[position]] { try wait(bucket) }
    }
  }

  private func sendGradients(of position: Int) throws {
    try Traffic.counting(.gradients) { for bucket in completeIn[route[position]] { try gradients.send(bucket) } }
  }

  private func start(_ buckets: [Int]) throws {
    for bucket in buckets where present[bucket] == nil {
      let shard = flat.shard(bucket, of: flat.values)
      // Alone, a rank has all of the bucket.
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

  private func letGo(_ bucket: Int) {
    // Memory that is still written to has an owner of its own; a rank that goes on must have what it asked for, though.
    keepingFailure { try wait(bucket) }
    present[bucket] = nil
    for index in flat.members[bucket] { flat.parameters[index].value = absent[index] }
    copies.forget(flat.members[bucket].map { flat.parameters[$0] })
  }
}
