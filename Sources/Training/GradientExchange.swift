import Autograd
import Collectives
import Datasets
import Platform
import Tensors

/// Sums gradients over ranks while the backward pass is still running, and returns the weights that they changed.
///
/// An allreduce in its two halves: buckets leave as nonblocking reduce-scatters, as soon as their last gradient is
/// complete; after the optimizer has updated the owned blocks, an all-gather returns the weights (ZeRO-1), or the sums
/// where nothing is shared out. Where gradients are shared out buckets leave in every pass, see `GradientShards`, and
/// where weights are, at the borders of blocks, see `WeightShards`. The gradients of embedding tables leave after the
/// last pass, and their weights come when they are needed: see `TableExchange`. The order of departure is fixed at the
/// start: the buckets, then the tables. Sums are taken in rank order, so a run repeats bit by bit.
final class GradientExchange {
  private let flat: FlatParameters
  private let tables: [TableExchange]
  private let communicator: any Communicator
  /// What leaves as one, by parameter: buckets are counted first, then tables.
  private let parcelOf: [ObjectIdentifier: Int]
  private let parametersIn: [Int]
  private var waitingFor: [Int] = []
  private var nextParcel = 0
  private var pending: [PendingOperation] = []
  /// Where gradients are shared out.
  let shards: GradientShards?
  /// Where weights are shared out.
  let residency: WeightShards?
  /// The time of this step.
  private(set) var seconds = ExchangeSeconds()
  private let clock = ContinuousClock()

  /// - Parameters:
  ///   - blocks: of the model, which weights come and go with where they are shared out.
  ///   - copies: bf16 forms of the weights.
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

  /// Starts a step on a global batch: gradients are zero, nothing has left, the rows of tables are on their way.
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

  /// Starts a pass behind the first; where gradients are shared out all ranks have as many passes in a step.
  func beginPass() {
    if shards == nil { return }
    waitingFor = parametersIn
    nextParcel = 0
    residency?.begin(trains: true)
  }

  /// Ends a pass: where gradients are shared out, sends what is left of it.
  func endPass() throws {
    if let residency {
      try residency.end()
    } else if shards != nil {
      try timed(\.progress) { while nextParcel < flat.buckets.count { try sendNext() } }
    }
  }

  /// Waits for the weights that a forward pass needs; to be called once, before the first one.
  func receiveRows() throws {
    try timed(\.rows) { for table in tables { try table.arrive() } }
  }

  /// Counts the time of `body` at a place of the exchange.
  func timed<T>(_ place: WritableKeyPath<ExchangeSeconds, Double>, _ body: () throws -> T) rethrows -> T {
    let start = clock.now
    defer { seconds[keyPath: place] += (clock.now - start).seconds }
    return try body()
  }

  /// Tells that an operation is about to add to a parameter's gradient.
  func need(_ parameter: Parameter) { shards?.need(parameter) }

  /// Tells that a parameter's gradient is complete for this pass of this rank; sends what can be sent.
  func complete(_ parameter: Parameter, isLastPass: Bool) throws {
    guard residency == nil, isLastPass || shards != nil else { return }
    guard communicator.size > 1 || shards != nil, let parcel = parcelOf[ObjectIdentifier(parameter)] else { return }
    waitingFor[parcel] -= 1
    // Tables have room for the sum of all passes: they leave after the last one.
    let end = shards == nil ? parametersIn.count : flat.buckets.count
    guard nextParcel < end, waitingFor[nextParcel] <= 0 else { return }
    try timed(\.progress) {
      while nextParcel < end, waitingFor[nextParcel] <= 0 { try sendNext() }
    }
  }

  /// Lets MPI move data; it makes no progress by itself.
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

  /// Sends what is left (weights that no gradient reached, a rank without examples) and waits for all.
  ///
  /// - Returns: Σ gradient² of what this rank owns; the sums over ranks lie in its blocks of the flat buffer (in all of
  ///   it where nothing is shared out) and in its slots of the tables.
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

  /// Returns the updated blocks of all ranks to all ranks, where they have the weights of all.
  func gatherValues() throws {
    if let residency {
      residency.letGo()
      seconds.weights += residency.seconds
    } else if flat.sharding != .none {
      try timed(\.weights) { try gather(flat.values, for: .weights) }
    }
  }

  /// Fills the blocks of all other ranks in a whole buffer.
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
