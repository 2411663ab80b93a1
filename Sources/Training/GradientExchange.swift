import Autograd
import Collectives
import Datasets
import Platform
import Tensors

/// Sums gradients over ranks during the backward pass, and distributes the updated weights.
///
/// An allreduce in two halves: a bucket is sent as a nonblocking reduce-scatter as soon as its last gradient is
/// complete; after the optimizer has updated the owned blocks, an all-gather distributes the weights (ZeRO-1), or
/// without sharding the sums of gradients. With sharded gradients buckets are sent in every pass (`GradientShards`),
/// with sharded weights at the boundaries of blocks (`WeightShards`). The gradients of lookup tables are sent after the
/// last pass, and their rows are gathered when a step needs them (`TableExchange`). The order is fixed: the buckets,
/// then the tables. Sums are taken in rank order, so runs repeat bit for bit.
final class GradientExchange {
  private let flat: FlatParameters
  private let tables: [TableExchange]
  private let communicator: any Communicator
  /// The number of the bucket or table that a parameter is sent with: buckets first, then tables.
  private let parcelOf: [ObjectIdentifier: Int]
  private let parametersIn: [Int]
  private var waitingFor: [Int] = []
  private var nextParcel = 0
  private var pending: [PendingOperation] = []
  /// With sharded gradients.
  let shards: GradientShards?
  /// With sharded weights.
  let residency: WeightShards?
  /// The time that this step spends on communication.
  private(set) var seconds = ExchangeSeconds()
  private let clock = ContinuousClock()

  /// - Parameters:
  ///   - blocks: the model's blocks, which determine when sharded weights are gathered and released.
  ///   - copies: bf16 copies of the weights.
  init(
    _ flat: FlatParameters, _ tables: [TableExchange], blocks: [[Parameter]], copies: BF16Weights,
    _ communicator: any Communicator
  ) {
    self.flat = flat
    self.tables = tables
    self.communicator = communicator
    let shards = flat.sharding.sharesGradients ? GradientShards(flat, communicator) : nil
    self.shards = shards
    residency =
      flat.sharding == .parameters
      ? shards.map { WeightShards(flat, blocks: blocks, gradients: $0, copies: copies, communicator) } : nil
    var parcelOf: [ObjectIdentifier: Int] = [:]
    var parametersIn = [Int](repeating: 0, count: flat.buckets.count) + tables.map { _ in 1 }
    for (bucket, members) in flat.members.enumerated() {
      for index in members { parcelOf[ObjectIdentifier(flat.parameters[index])] = bucket }
      parametersIn[bucket] = members.count
    }
    for (index, table) in tables.enumerated() {
      parcelOf[ObjectIdentifier(table.parameter)] = flat.buckets.count + index
    }
    self.parcelOf = parcelOf
    self.parametersIn = parametersIn
  }

  /// Begins a step on a global batch: clears the gradients and starts to gather the rows of tables.
  func begin(_ batch: Batch) throws {
    seconds = ExchangeSeconds()
    residency?.seconds = 0
    for table in tables { try table.begin(batch) }
    residency?.prefetch()
    if let shards { shards.begin() } else { flat.gradients.fill(0) }
    waitingFor = parametersIn
    nextParcel = 0
    residency?.begin(trains: true)
  }

  /// Begins a pass after the first; with sharded gradients all ranks have equally many passes in a step.
  func beginPass() {
    if shards == nil { return }
    waitingFor = parametersIn
    nextParcel = 0
    residency?.begin(trains: true)
  }

  /// Ends a pass: with sharded gradients, sends the remaining buckets.
  func endPass() throws {
    if let residency {
      try residency.end()
    } else if shards != nil {
      try timed(\.progress) { while nextParcel < flat.buckets.count { try sendNext() } }
    }
  }

  /// Waits for the table rows that a forward pass needs; called once, before the first pass.
  func receiveRows() throws {
    try timed(\.rows) { for table in tables { try table.arrive() } }
  }

  /// Adds the duration of `body` to one of the step's times.
  func timed<T>(_ place: WritableKeyPath<ExchangeSeconds, Double>, _ body: () throws -> T) rethrows -> T {
    let start = clock.now
    defer { seconds[keyPath: place] += (clock.now - start).seconds }
    return try body()
  }

  /// Called before an operation adds to a parameter's gradient.
  func need(_ parameter: Parameter) { shards?.need(parameter) }

  /// Called when a parameter's gradient is complete for this pass of this rank; sends the buckets that are complete.
  func complete(_ parameter: Parameter, isLastPass: Bool) throws {
    guard residency == nil, isLastPass || shards != nil else { return }
    guard communicator.size > 1 || shards != nil, let parcel = parcelOf[ObjectIdentifier(parameter)] else { return }
    waitingFor[parcel] -= 1
    // Table gradients accumulate over all passes and are sent after the last one.
    let end = shards == nil ? parametersIn.count : flat.buckets.count
    guard nextParcel < end, waitingFor[nextParcel] <= 0 else { return }
    try timed(\.progress) {
      while nextParcel < end, waitingFor[nextParcel] <= 0 { try sendNext() }
    }
  }

  /// Lets MPI move data, which it does only inside MPI calls.
  func poll() throws {
    if let shards {
      try timed(\.progress) {
        try shards.poll()
        try residency?.poll()
      }
    }
    guard pending.contains(where: { !$0.isComplete }) else { return }
    try timed(\.progress) { _ = try pending.testAll() }
  }

  /// Sends the rest (weights without a gradient, a rank without examples) and waits for all transfers.
  ///
  /// - Returns: Σ gradient² of this rank's elements. The sums over ranks are in its blocks of the flat buffer (without
  ///   sharding in the whole buffer) and in its slots of the tables.
  func finish() throws -> Double {
    try timed(\.gradients) {
      if let shards {
        nextParcel = flat.buckets.count
        try shards.finish()
      }
      if communicator.size > 1 {
        while nextParcel < parametersIn.count { try sendNext() }
        try pending.waitAll()
      }
      pending = []
    }
    let owned = shards == nil ? flat.ownedRanges(rank: communicator.rank) : [0..<flat.gradients.count]
    let dense = owned.reduce(0.0) { $0 + flat.gradients.slice(at: $1.lowerBound, [$1.count]).sumOfSquares }
    if flat.sharding == .none { try timed(\.weights) { try gather(flat.gradients, for: .gradients) } }
    return tables.reduce(dense) { $0 + $1.sumOfSquares }
  }

  /// Gathers the updated blocks of all ranks, unless weights are sharded.
  func gatherValues() throws {
    if let residency {
      residency.release()
      seconds.weights += residency.seconds
    } else if flat.sharding != .none {
      try timed(\.weights) { try gather(flat.values, for: .weights) }
    }
  }

  /// Gathers the blocks of all other ranks in a whole buffer.
  private func gather(_ buffer: Tensor, for purpose: Traffic.Purpose) throws {
    guard communicator.size > 1 else { return }
    let operations = try flat.buckets.map { bucket in
      try Traffic.counting(purpose) {
        try communicator.iAllGather(
          UnsafeMutableBufferPointer(start: buffer.floats + bucket.lowerBound, count: bucket.count),
          keeping: buffer.storage)
      }
    }
    try operations.waitAll()
  }

  private func sendNext() throws {
    if nextParcel >= flat.buckets.count {
      let table = tables[nextParcel - flat.buckets.count]
      pending.append(try Traffic.counting(.rows) { try table.send() })
    } else if let shards {
      try Traffic.counting(.gradients) { try shards.send(nextParcel) }
    } else {
      let bucket = flat.buckets[nextParcel]
      let block = bucket.count / communicator.size
      let base = flat.gradients.floats + bucket.lowerBound
      pending.append(
        try Traffic.counting(.gradients) {
          try communicator.iReduceScatter(
            UnsafeBufferPointer(start: base, count: bucket.count),
            into: UnsafeMutableBufferPointer(start: base + communicator.rank * block, count: block),
            keeping: flat.gradients.storage)
        })
    }
    nextParcel += 1
  }
}
