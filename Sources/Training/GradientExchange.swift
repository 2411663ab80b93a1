import Autograd
import Collectives
import Datasets
import Platform
import Tensors

/// Sums gradients over ranks while the backward pass is still running, each rank keeping its own part only (ZeRO-1).
///
/// An allreduce in its two halves: buckets leave as nonblocking reduce-scatters, as soon as their last gradient is
/// complete; after the optimizer has updated the owned blocks, an all-gather returns the weights. The gradients of
/// embedding tables leave in the same way, and their weights come when they are needed: see `TableExchange`. The order
/// of departure is fixed at the start: the buckets, then the tables. Sums are taken in rank order, so a run repeats bit
/// by bit.
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
  /// The time of this step.
  private(set) var seconds = ExchangeSeconds()
  private let clock = ContinuousClock()

  init(_ flat: FlatParameters, _ tables: [TableExchange], _ communicator: any Communicator) {
    self.flat = flat
    self.tables = tables
    self.communicator = communicator
    var parcelOf: [ObjectIdentifier: Int] = [:]
    var parametersIn = [Int](repeating: 0, count: flat.buckets.count) + tables.map { _ in 1 }
    for (parameter, range) in zip(flat.parameters, flat.ranges) {
      let bucket = flat.buckets.firstIndex { $0.contains(range.lowerBound) || range.isEmpty } ?? 0
      parcelOf[ObjectIdentifier(parameter)] = bucket
      parametersIn[bucket] += 1
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
    for table in tables { try table.begin(batch) }
    flat.gradients.fill(0)
    waitingFor = parametersIn
    nextParcel = 0
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

  /// Tells that a parameter's gradient is complete on this rank; sends what can be sent.
  func complete(_ parameter: Parameter) throws {
    guard communicator.size > 1, let parcel = parcelOf[ObjectIdentifier(parameter)] else { return }
    waitingFor[parcel] -= 1
    guard nextParcel < parametersIn.count, waitingFor[nextParcel] <= 0 else { return }
    try timed(\.progress) {
      while nextParcel < parametersIn.count, waitingFor[nextParcel] <= 0 { try sendNext() }
    }
  }

  /// Lets MPI move data; it makes no progress by itself.
  func poll() throws {
    guard pending.contains(where: { !$0.isComplete }) else { return }
    try timed(\.progress) { _ = try pending.testAll() }
  }

  /// Sends what is left (weights that no gradient reached, a rank without examples) and waits for all.
  ///
  /// - Returns: Σ gradient² of what this rank owns; the sums over ranks lie in its blocks of the flat buffer and in its
  ///   slots of the tables.
  func finish() throws -> Double {
    if communicator.size > 1 {
      try timed(\.gradients) {
        while nextParcel < parametersIn.count { try sendNext() }
        try pending.waitAll()
      }
      pending = []
    }
    let dense = flat.ownedRanges(rank: communicator.rank).reduce(0.0) {
      $0 + flat.gradients.slice(at: $1.lowerBound, [$1.count]).sumOfSquares
    }
    return tables.reduce(dense) { $0 + $1.sumOfSquares }
  }

  /// Returns the updated blocks of all ranks to all ranks.
  func gatherValues() throws {
    guard communicator.size > 1 else { return }
    let values = flat.values
    try timed(\.weights) {
      let operations = try flat.buckets.map { bucket in
        try communicator.iAllGather(
          UnsafeMutableBufferPointer(start: values.floats + bucket.lowerBound, count: bucket.count),
          keeping: values.storage)
      }
      try operations.waitAll()
    }
  }

  private func sendNext() throws {
    if nextParcel < flat.buckets.count {
      let bucket = flat.buckets[nextParcel]
      let block = bucket.count / communicator.size
      let base = flat.gradients.floats + bucket.lowerBound
      pending.append(
        try communicator.iReduceScatter(
          UnsafeBufferPointer(start: base, count: bucket.count),
          into: UnsafeMutableBufferPointer(start: base + communicator.rank * block, count: block),
          keeping: flat.gradients.storage))
    } else {
      pending.append(try tables[nextParcel - flat.buckets.count].send())
    }
    nextParcel += 1
  }
}
