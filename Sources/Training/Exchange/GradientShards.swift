import Autograd
import Collectives
import Tensors

/// Sharded gradients (ZeRO-2): each rank keeps the sums of its blocks; a bucket has memory from the first operation of
/// a pass that adds to it until it has been summed over ranks.
///
///     need      the first weight of a bucket gets a gradient: the bucket gets zeroed memory
///     send      starts the bucket's reduce-scatter; its weights then have no gradient
///     arrive    adds this rank's block to its shard, in the order of sending, and frees the memory
///
/// Every rank sends every bucket in every pass, in the same order; a rank without gradients sends zeros.
final class GradientShards {
  private let flat: FlatParameters
  private let tables: [TableExchange]
  private let times: ExchangeTimes
  private let sums: RegionSums
  private let areas: BucketAreas
  private let places: [ObjectIdentifier: (index: Int, bucket: Int)]
  private let absent: [Tensor]
  /// The gradients of the pass so far, by bucket.
  private var buffers: [BucketAreas.Area?]
  /// The reduce-scatters in flight, the oldest first.
  private var inFlight: [(operation: PendingOperation, bucket: Int, area: BucketAreas.Area)] = []
  /// Whether a bucket's shard already has the sum of a pass of this step.
  private var isBegun: [Bool]
  /// The most bytes of buckets that have been in memory at one time.
  private(set) var peakBytes = 0
  /// The most buckets in flight: more would only use memory, since transfers complete one after the other.
  private static let limit = 2

  init(_ work: ExchangeWork) throws {
    flat = work.flat
    tables = work.tables
    times = work.times
    sums = work.sums
    areas = try BucketAreas(
      work.buffers, count: work.flat.buckets.count + GradientShards.limit,
      size: work.flat.buckets.map(\.count).max() ?? 0)
    var places: [ObjectIdentifier: (index: Int, bucket: Int)] = [:]
    for (bucket, members) in flat.members.enumerated() {
      for index in members { places[ObjectIdentifier(flat.parameters[index])] = (index, bucket) }
    }
    self.places = places
    absent = flat.parameters.map { $0.gradient ?? .absent($0.shape) }
    buffers = Array(repeating: nil, count: flat.buckets.count)
    isBegun = Array(repeating: false, count: flat.buckets.count)
  }

  /// Begins a step: the shards are empty.
  func begin() { isBegun = Array(repeating: false, count: flat.buckets.count) }

  /// Allocates the bucket of a weight, if it has no memory yet.
  func need(_ parameter: Parameter) {
    guard let place = places[ObjectIdentifier(parameter)], buffers[place.bucket] == nil else { return }
    let area = areas.take(flat.buckets[place.bucket].count)
    buffers[place.bucket] = area
    for index in flat.members[place.bucket] {
      flat.parameters[index].gradient = flat.place(index, ofBucket: place.bucket, in: area.values)
    }
    notePeak()
  }

  /// Starts the sum of a bucket over ranks.
  func send(_ bucket: Int) throws {
    let area = buffers[bucket] ?? areas.take(flat.buckets[bucket].count)
    buffers[bucket] = nil
    for index in flat.members[bucket] { flat.parameters[index].gradient = absent[index] }
    while inFlight.count >= GradientShards.limit { try arrive() }
    let operation = try sums.start(
      areas.buffers, .moving(area.offset), count: area.values.count, for: .gradients, key: bucket)
    inFlight.append((operation, bucket, area))
    notePeak()
  }

  /// Adds completed buckets to the shards, and lets MPI move data.
  func poll() throws {
    while let first = inFlight.first, try first.operation.test() { try arrive() }
  }

  /// Waits for all buckets in flight and sums the gradients of tables; the shards then have the sums of the step's
  /// passes.
  ///
  /// - Returns: Σ gradient² of the shards.
  func finish() throws -> Double {
    try times.measure(\.gradients) {
      while !inFlight.isEmpty { try arrive() }
      for bucket in flat.buckets.indices where !isBegun[bucket] { flat.shard(bucket, of: flat.gradients).fill(0) }
      try tables.map { try $0.send() }.waitAll()
    }
    return flat.gradients.sumOfSquares
  }

  private func ownBlock(of buffer: Tensor) -> Tensor {
    let count = buffer.count / flat.ranks
    return buffer.slice(at: flat.rank * count, [count])
  }

  /// Waits for the oldest bucket in flight and adds it to its shard.
  private func arrive() throws {
    let (operation, bucket, area) = inFlight.removeFirst()
    try operation.wait()
    let (shard, block) = (flat.shard(bucket, of: flat.gradients), ownBlock(of: area.values))
    if isBegun[bucket] { shard.add(block) } else { shard.update(from: block) }
    isBegun[bucket] = true
    areas.give(area)
  }

  private func notePeak() {
    let held =
      buffers.reduce(0) { $0 + ($1?.values.count ?? 0) } + inFlight.reduce(0) { $0 + $1.area.values.count }
    peakBytes = max(peakBytes, 4 * held)
  }
}

/// Memory for buckets that come and go, which the other ranks of the node read.
private final class BucketAreas {
  /// The memory of one bucket.
  struct Area {
    let offset: Int
    let values: Tensor
  }

  let buffers: RankBuffers
  private let size: Int
  private var free: [Int]

  /// - Parameters:
  ///   - count: the most buckets at one time; those that are never taken use no memory.
  ///   - size: the elements of the largest bucket.
  init(_ buffers: StudentBuffers, count: Int, size: Int) throws {
    self.buffers = try buffers.ofEachRank(count * size)
    self.size = size
    free = (0..<count).map { $0 * size }.reversed()
  }

  /// Zeros for a bucket.
  func take(_ count: Int) -> Area {
    precondition(count <= size && !free.isEmpty, "no area for a bucket of \(count) elements")
    let offset = free.removeLast()
    let values = buffers.own.slice(at: offset, [count])
    values.fill(0)
    return Area(offset: offset, values: values)
  }

  func give(_ area: Area) { free.append(area.offset) }
}
