import Autograd
import Collectives
import Tensors

/// Gradients in one whole buffer, which each rank adds to over all passes and sends once a step.
///
/// In the last pass the sum of a bucket starts as soon as its last gradient is complete, the lookup tables after all
/// buckets. Afterwards this rank's blocks of the buffer and its slots of the tables have the sums over ranks.
final class WholeGradients {
  private let flat: FlatParameters
  private let tables: [TableExchange]
  private let grid: RankGrid
  private let sums: RegionSums
  private let times: ExchangeTimes
  /// The buckets, then the tables.
  private var order: SendingOrder
  private var pending: [PendingOperation] = []
  /// Σ gradient² of this rank's block of each bucket.
  private var squares: [Double] = []
  /// Whether gradients that become complete now are complete for the step.
  private var isLastPass = false

  init(_ work: ExchangeWork) {
    flat = work.flat
    tables = work.tables
    grid = work.grid
    sums = work.sums
    times = work.times
    order = SendingOrder(work.flat.parametersOfBuckets + work.tables.map { [$0.parameter] })
  }

  /// Begins a step: clears the gradients.
  func begin() {
    for parameter in flat.parameters { parameter.clearGradient() }
    squares = Array(repeating: 0, count: flat.buckets.count)
    order.restart()
    isLastPass = false
  }

  func beginPass(isLast: Bool) { isLastPass = isLast }

  /// Sends the buckets and tables that are complete with this gradient.
  func complete(_ parameter: Parameter) throws {
    guard isLastPass else { return }
    order.complete(parameter)
    guard order.hasComplete else { return }
    try times.measure(\.progress) { while let parcel = order.takeComplete() { try send(parcel) } }
  }

  /// Takes the sums that are ready, and lets MPI move data, which it does only inside MPI calls.
  func poll() throws {
    guard pending.contains(where: { !$0.isComplete }) else { return }
    try times.measure(\.progress) { _ = try pending.testAll() }
  }

  /// Sends the rest and waits for all transfers; returns Σ gradient² of this rank's blocks.
  func finish() throws -> Double {
    try times.measure(\.gradients) {
      while let parcel = order.take() { try send(parcel) }
      try pending.waitAll()
      pending = []
    }
    return squares.reduce(0, +)
  }

  private func send(_ parcel: Int) throws {
    if parcel >= flat.buckets.count { return pending.append(try tables[parcel - flat.buckets.count].send()) }
    guard let buffers = flat.rankGradients else { return }
    // Weights without a gradient in this step get their zeros here.
    for index in flat.members[parcel] { _ = flat.parameters[index].gradient }
    let bucket = flat.buckets[parcel]
    let operation = try sums.start(
      buffers, .fixed(bucket.lowerBound), count: bucket.count, for: .gradients, key: parcel
    ) {
      // Right after the sum, while it is in the cache.
      [self] block in squares[parcel] = times.excluding { block.sumOfSquares }
    }
    pending.append(operation)
  }
}
