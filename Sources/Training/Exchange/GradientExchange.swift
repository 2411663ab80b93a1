import Collectives
import Datasets
import Tensors

/// The exchange of an optimizer step: the rows of lookup tables, and all else in the way of a strategy.
///
/// Rows travel from the begin of a step to its first forward pass (`TableExchange`); weights and gradients as the
/// strategy has it, which also sends the gradients of rows. All ranks send in the same order, and sums are taken in
/// rank order, so runs repeat bit for bit.
final class GradientExchange {
  /// What the tapes of the student's passes report to.
  let strategy: any ExchangeStrategy
  private let tables: [TableExchange]
  private let times: ExchangeTimes
  private let node: NodeGroup
  private let sums: RegionSums
  /// Whether weights may have been written other than by an update, and ranks of the node may still be writing.
  private var isChanged = true

  /// Throws `StudentBuffers.NotShared`.
  init(_ strategy: any ExchangeStrategy.Type, _ work: ExchangeWork, precision: Precision) throws {
    self.strategy = try strategy.init(work, precision: precision)
    tables = work.tables
    times = work.times
    node = work.grid.node
    sums = work.sums
  }

  /// The time that this step spends on communication.
  var seconds: ExchangeSeconds { times.seconds }

  /// Adds the duration of `body` to one of the step's times.
  func timed<T>(_ place: WritableKeyPath<ExchangeSeconds, Double>, _ body: () throws -> T) rethrows -> T {
    try times.measure(place, body)
  }

  /// Begins a step on a global batch: clears the gradients and starts to gather the rows of tables.
  func begin(_ batch: Batch) throws {
    times.reset()
    for table in tables { try table.begin(batch) }
    try strategy.begin()
    try refresh()
  }

  /// Forgets what the sums of a step without an update have left behind.
  func discard() { sums.forgetErrors() }

  /// Notes that weights were written other than by an update; all ranks write them alike.
  func noteChange() {
    isChanged = true
    strategy.noteChange()
  }

  /// Makes weights readable for passes and for checkpoints; collective.
  func refresh() throws {
    if isChanged { try node.barrier() }
    isChanged = false
    try strategy.refresh()
  }

  /// Waits for the table rows that a forward pass needs; called once, before the first pass.
  func receiveRows() throws {
    try timed(\.rows) { for table in tables { try table.arrive() } }
  }

  /// Completes the sums over ranks; returns Σ gradient² of this rank's elements, those of its rows included.
  func finish() throws -> Double {
    let dense = try strategy.finish()
    return tables.reduce(dense) { $0 + $1.sumOfSquares }
  }
}
