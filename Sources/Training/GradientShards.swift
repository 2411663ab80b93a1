import Autograd
import Collectives
import Tensors

/// Gradients of which each rank keeps the sums of its blocks (ZeRO-2): a bucket's own gradient lives from the first
/// operation of a pass that adds to it until it has been summed over ranks.
///
///     need      the first weight of a bucket gets a gradient: the bucket gets memory, zeros
///     send      a reduce-scatter leaves with the bucket; its weights have no gradient any more
///     arrival   this rank's block is added to its shard, in the order of departure; the memory goes
///
/// Every rank sends every bucket in every pass, in the same order; who has nothing to add sends zeros.
final class GradientShards {
  private let flat: FlatParameters
  private let communicator: any Communicator
  private let places: [ObjectIdentifier: (index: Int, bucket: Int)]
  private let absent: [Tensor]
  /// What the pass has added so far, by bucket.
  private var buffers: [Tensor?]
  /// On their way, the oldest first.
  private var travelling: [(operation: PendingOperation, bucket: Int, buffer: Tensor)] = []
  /// Whether a bucket's shard has the sum of a pass of this step.
  private var isBegun: [Bool]
  /// The most bytes of buckets that were in memory at one time.
  private(set) var peakBytes = 0
  /// Buckets that may be on their way at a time: more would be memory without use, since they go one after the other.
  private static let limit = 2

  init(_ flat: FlatParameters, _ communicator: any Communicator) {
    self.flat = flat
    self.communicator = communicator
    var places: [ObjectIdentifier: (index: Int, bucket: Int)] = [:]
    for (bucket, members) in flat.members.enumerated() {
      for index in members { places[ObjectIdentifier(flat.parameters[index])] = (index, bucket) }
    }
    self.places = places
    absent = flat.parameters.map { $0.gradient ?? .absent($0.shape) }
    buffers = Array(repeating: nil, count: flat.buckets.count)
    isBegun = Array(repeating: false, count: flat.buckets.count)
  }

  /// Whether something is on its way.
  var isTravelling: Bool { !travelling.isEmpty }

  /// Starts a step: no shard has anything.
  func begin() { isBegun = Array(repeating: false, count: flat.buckets.count) }

  /// Gives a weight's bucket memory, unless it has it.
  func need(_ parameter: Parameter) {
    guard let place = places[ObjectIdentifier(parameter)], buffers[place.bucket] == nil else { return }
    let buffer = Tensor.zeros([flat.buckets[place.bucket].count])
    buffers[place.bucket] = buffer
    for index in flat.members[place.bucket] {
      flat.parameters[index].gradient = flat.place(index, ofBucket: place.bucket, in: buffer)
    }
    notePeak()
  }

  /// Starts the sum of a bucket over ranks.
  func send(_ bucket: Int) throws {
    let buffer = buffers[bucket] ?? .zeros([flat.buckets[bucket].count])
    buffers[bucket] = nil
    for index in flat.members[bucket] { flat.parameters[index].gradient = absent[index] }
    while travelling.count >= GradientShards.limit { try arrive() }
    let block = ownBlock(of: buffer)
    let operation = try communicator.iReduceScatter(
      UnsafeBufferPointer(buffer.buffer), into: block.buffer, keeping: buffer.storage)
    travelling.append((operation, bucket, buffer))
    notePeak()
  }

  /// Takes what has come; lets MPI move the rest.
  func poll() throws {
    while let first = travelling.first, try first.operation.test() { try arrive() }
  }

  /// Takes all that is on its way; the shards have the sums of the step's passes then.
  func finish() throws {
    while isTravelling { try arrive() }
    for bucket in flat.buckets.indices where !isBegun[bucket] { flat.shard(bucket, of: flat.gradients).fill(0) }
  }

  private func ownBlock(of buffer: Tensor) -> Tensor {
    let count = buffer.count / flat.ranks
    return buffer.slice(at: flat.rank * count, [count])
  }

  /// Adds the oldest bucket on its way to its shard.
  private func arrive() throws {
    let (operation, bucket, buffer) = travelling.removeFirst()
    try operation.wait()
    let (shard, block) = (flat.shard(bucket, of: flat.gradients), ownBlock(of: buffer))
    if isBegun[bucket] { shard.add(block) } else { shard.update(from: block) }
    isBegun[bucket] = true
  }

  private func notePeak() {
    let held = buffers.reduce(0) { $0 + ($1?.count ?? 0) } + travelling.reduce(0) { $0 + $1.buffer.count }
    peakBytes = max(peakBytes, 4 * held)
  }
}
