import Autograd
import CKernels
import Collectives
import Datasets
import Models
import Optimizers
import Safetensors
import Tensors

/// Trains one lookup table through the rows that a step touches; the gradient of all other rows is zero.
///
/// Every rank knows the whole global batch, and therefore the rows that a step touches. Row i belongs to place i mod P
/// of the grid, which alone has its moments and updates it. The table is in memory once a node:
///
///     begin     owners take the deferred steps of the touched rows, in the table, and send them to other nodes
///     arrive    the rows are in the table, where the forward pass reads them
///     backward  adds into a gradient that has memory for these rows only
///     send      each owner's part of the gradient is summed over ranks
///     update    owners update their rows; the next step that touches a row sends it
///     settle    brings every row up to date on every node, for evaluations and checkpoints
///
/// The slots of a step, for P = 2 and the rows 3, 4, 8 and 20:
///
///     slots     | 4   8   20 | 3   ·   · |   the rows of place 0, then those of place 1, equally many slots for each
final class TableExchange {
  let parameter: Parameter
  let optimizer: RowAdamW
  private let ids: KeyPath<Batch, [Int32]>
  private let grid: RankGrid
  private let sums: RegionSums
  /// All ranks, by place.
  private var communicator: any Communicator { grid.ordered }
  /// The gradients of touched rows of each rank of the node.
  private let gradients: RankBuffers
  /// How often a rank has begun a step, and how often its rows have arrived.
  private let begun: NodeSignal
  private let arrived: NodeSignal
  private var steps: UInt64 = 0
  /// The touched rows of each place, in ascending order.
  private var touched: [[Int32]]
  /// The number of slots per rank.
  private var places = 0
  /// The gradients of this rank: [P · places, C].
  private var slots: Tensor
  /// The rows in flight: those of this rank's lane, [N · places, C], or of all places with sharded rows.
  private var rowsInFlight: Tensor
  private var arriving: PendingOperation?
  /// With sharded weights this rank's rows, [V/P, C], while the table is absent; otherwise nil.
  private let shard: Tensor?
  private let absent: Tensor
  /// Whether the copies of the table may differ between ranks.
  private var isScattered = false

  /// - Parameters:
  ///   - sharesRows: whether a rank keeps only its own rows of the table.
  ///   - fill: called for the table before anything else.
  /// Throws `StudentBuffers.NotShared`.
  init(
    _ lookup: LookupTable, _ configuration: AdamWConfiguration, sharesRows: Bool = false,
    fill: (Parameter) -> Void = { _ in }, in buffers: StudentBuffers, _ sums: RegionSums
  ) throws {
    let parameter = lookup.parameter
    fill(parameter)
    self.parameter = parameter
    ids = lookup.ids
    let grid = buffers.grid
    self.grid = grid
    self.sums = sums
    begun = grid.node.signal()
    arrived = grid.node.signal()
    // Room for all rows and their rounding up to equally many a place; only what a step touches uses memory.
    gradients = try buffers.ofEachRank((parameter.value.rows + grid.size) * parameter.value.columns)
    if !sharesRows, grid.node.size > 1 {
      let table = try buffers.shared(parameter.shape)
      table.update(from: parameter.value)
      parameter.value = table
    }
    let own = stride(from: grid.place, to: parameter.value.rows, by: grid.size).map { Int32($0) }
    let shard = sharesRows ? Tensor(uninitialized: [own.count, parameter.value.columns]) : nil
    if let shard { rtk_gather_rows(shard.floats, parameter.value.floats, own, own.count, parameter.value.columns) }
    self.shard = shard
    optimizer =
      shard.map { RowAdamW(configuration, table: $0, decays: parameter.decays) }
      ?? RowAdamW(
        configuration, table: parameter.value, first: grid.place, stride: grid.size,
        decays: parameter.decays)
    absent = shard == nil ? parameter.value : .absent(parameter.shape)
    parameter.value = absent
    touched = Array(repeating: [], count: grid.size)
    slots = Tensor(uninitialized: [0, parameter.value.columns])
    rowsInFlight = slots
    parameter.gradient = slots
    parameter.gradientRows = Array(repeating: -1, count: parameter.value.rows)
  }

  private var holdsShardOnly: Bool { shard != nil && parameter.value.storage === absent.storage }
  private var columns: Int { parameter.value.columns }
  private var ownRows: [Int32] { touched[communicator.rank] }
  /// The row numbers that the optimizer and the shard use for rows of this rank.
  private func kept(_ rows: [Int32]) -> [Int32] {
    shard == nil ? rows : rows.map { $0 / Int32(communicator.size) }
  }
  private var ownSlots: Tensor { slots.rows(communicator.rank * places..<(communicator.rank + 1) * places) }
  /// The places of this rank's lane.
  private var lanePlaces: Range<Int> {
    let nodes = grid.lane.size
    return grid.node.rank * nodes..<(grid.node.rank + 1) * nodes
  }

  /// Begins a step on a global batch: brings the rows that it touches up to date and sends them to other nodes.
  func begin(_ batch: Batch) throws {
    steps += 1
    // The others may still read the table, for a checkpoint.
    begun.post(steps)
    try begun.wait(steps)
    share(out: batch[keyPath: ids])
    slots = gradients.own.slice(at: 0, [grid.size * places, columns])
    parameter.gradient = slots
    optimizer.catchUp(kept(ownRows))
    isScattered = true
    if shard != nil {
      arriving = try send(ownRows, width: grid.size, index: grid.place, on: grid.ordered)
    } else if grid.lane.size > 1 {
      arriving = try send(ownRows, width: grid.lane.size, index: grid.lane.rank, on: grid.lane)
    } else {
      arrived.post(steps)
    }
  }

  /// Starts to gather rows, `places` of each of `width` ranks.
  private func send(_ rows: [Int32], width: Int, index: Int, on ranks: any Communicator) throws -> PendingOperation {
    rowsInFlight = Tensor(uninitialized: [width * places, columns])
    take(rows, into: rowsInFlight.rows(index * places..<(index + 1) * places))
    return try Traffic.counting(.rows) {
      try ranks.iAllGather(rowsInFlight.buffer, keeping: rowsInFlight.storage)
    }
  }

  /// Waits for the rows; afterwards the table can be read and gradients can be added.
  func arrive() throws {
    try arriving?.wait()
    if shard != nil {
      parameter.valueRows = rowsInFlight
    } else {
      if arriving != nil {
        put(Array(touched[lanePlaces]), from: rowsInFlight, places: places, except: grid.lane.rank)
        arrived.post(steps)
      }
      try arrived.wait(steps)
    }
    arriving = nil
    slots.fill(0)
  }

  /// Starts the sum over ranks; each rank receives the sums of its rows, in its part of the slots.
  func send() throws -> PendingOperation {
    try sums.start(gradients, .fixed(0), count: slots.count, for: .rows)
  }

  /// Σ gradient² of this rank's rows, after the operation of `send` is complete.
  var sumOfSquares: Double { ownSlots.sumOfSquares }

  /// Updates this rank's touched rows.
  func update(step: Int, learningRate: Double, gradientScale: Double) {
    optimizer.step(
      step, learningRate: learningRate, gradientScale: gradientScale, rows: kept(ownRows), gradients: ownSlots)
    // The gathered rows are outdated now.
    if shard != nil { parameter.valueRows = nil }
  }

  /// Brings every row up to date on every rank, or with sharded rows on its owner; collective.
  func settle() throws {
    guard isScattered else { return }
    optimizer.catchUp()
    isScattered = false
    if shard == nil { try gatherRows() }
  }

  /// With sharded rows, gathers the whole table, up to date, until `release`; collective.
  func hold() throws {
    try settle()
    guard let shard, parameter.value.storage === absent.storage else { return }
    parameter.value = communicator.size == 1 ? shard : Tensor(uninitialized: parameter.shape)
    parameter.valueRows = nil
    if communicator.size > 1 {
      for row in 0..<shard.rows {
        (parameter.value.floats + (row * communicator.size + communicator.rank) * columns)
          .update(from: shard.floats + row * columns, count: columns)
      }
    }
    try gatherRows()
  }

  /// The elements of the table that this rank keeps between steps.
  var keptElements: Int { shard?.count ?? parameter.count }

  /// Releases the table that `hold` has gathered.
  func release() { if shard != nil { parameter.value = absent } }

  /// Gathers the rows that this node or, with sharded rows, this rank lacks.
  private func gatherRows() throws {
    if shard != nil {
      try gatherRows(of: 0..<grid.size, own: grid.place, on: grid.ordered)
    } else {
      if grid.lane.size > 1 { try gatherRows(of: lanePlaces, own: grid.lane.rank, on: grid.lane) }
      try grid.node.barrier()
    }
  }

  private func gatherRows(of owners: Range<Int>, own: Int, on ranks: any Communicator) throws {
    guard ranks.size > 1 else { return }
    for portion in portions() {
      let (rows, places) = (Array(portion[owners]), portion[0].count)
      let buffer = Tensor(uninitialized: [ranks.size * places, columns])
      take(rows[own], into: buffer.rows(own * places..<(own + 1) * places))
      try ranks.allGather(buffer.buffer)
      put(rows, from: buffer, places: places, except: own)
    }
  }

  /// The moments of the whole table, [V, C], on rank 0; nil on other ranks. Collective.
  ///
  /// - Parameter own: the moments of this rank's rows, up to date.
  func gathered(_ own: Tensor) throws -> Tensor? {
    if communicator.size == 1 { return own }
    let whole = communicator.isFirst ? Tensor(uninitialized: parameter.shape) : nil
    for rows in portions() {
      let counts = rows.map { $0.count * columns }
      let mine = rows[communicator.rank]
      let start = mine.first.map { Int($0) / communicator.size } ?? 0
      let buffer = whole.map { _ in Tensor(uninitialized: [counts.reduce(0, +) / columns, columns]) }
      try communicator.gather(
        UnsafeBufferPointer(own.rows(start..<start + mine.count).buffer), into: buffer?.buffer, counts: counts, root: 0)
      guard let whole, let buffer else { continue }
      for (place, row) in rows.joined().enumerated() {
        (whole.floats + Int(row) * columns).update(from: buffer.floats + place * columns, count: columns)
      }
    }
    return whole
  }

  /// Restores this rank's weights from those of the whole table.
  func restore(weights: StoredTensor) {
    guard let shard else { return weights.copyFloats(into: parameter.value.floats) }
    for row in 0..<shard.rows {
      let start = (row * communicator.size + communicator.rank) * columns
      weights.copyFloats(into: shard.floats + row * columns, range: start..<start + columns)
    }
  }

  /// Restores this rank's moments from those of the whole table; the weights are already restored and up to date.
  func restore(first: StoredTensor, second: StoredTensor) {
    let row = Tensor(uninitialized: [2, columns])
    for index in stride(from: communicator.rank, to: parameter.value.rows, by: communicator.size) {
      let range = index * columns..<(index + 1) * columns
      first.copyFloats(into: row.floats, range: range)
      second.copyFloats(into: row.floats + columns, range: range)
      optimizer.restore(row: kept([Int32(index)])[0], first: row.floats, second: row.floats + columns)
    }
  }

  /// The rows of the whole table by owner, in portions of about 1 MiB per owner; the first rank has the most of each.
  private func portions() -> [[[Int32]]] {
    let (ranks, rows) = (communicator.size, parameter.value.rows)
    let width = max(1, (1 << 18) / max(columns, 1)) * ranks
    return stride(from: 0, to: rows, by: width).map { start in
      (0..<ranks).map { rank in
        stride(from: start + rank, to: min(start + width, rows), by: ranks).map { Int32($0) }
      }
    }
  }

  /// Sorts the rows of a step by owner and assigns each a slot.
  private func share(out ids: [Int32]) {
    for rows in touched { for row in rows { parameter.gradientRows![Int(row)] = -1 } }
    touched = Array(repeating: [], count: communicator.size)
    for row in Set(ids).sorted() { touched[Int(row) % communicator.size].append(row) }
    places = touched.reduce(0) { max($0, $1.count) }
    for (rank, rows) in touched.enumerated() {
      for (place, row) in rows.enumerated() { parameter.gradientRows![Int(row)] = Int32(rank * places + place) }
    }
  }

  /// Copies rows of the table into consecutive rows of a buffer.
  private func take(_ rows: [Int32], into buffer: Tensor) {
    precondition(rows.count <= buffer.rows, "\(rows.count) rows into \(buffer.shape)")
    let source = holdsShardOnly ? shard! : parameter.value
    rtk_gather_rows(buffer.floats, source.floats, holdsShardOnly ? kept(rows) : rows, rows.count, columns)
  }

  /// Copies the rows of several ranks into the table, from a buffer with equally many slots for each of them.
  private func put(_ rows: [[Int32]], from buffer: Tensor, places: Int, except own: Int) {
    let (table, from) = (parameter.value.floats, buffer.floats)
    for (rank, rows) in rows.enumerated() where rank != own {
      for (place, row) in rows.enumerated() {
        (table + Int(row) * columns).update(from: from + (rank * places + place) * columns, count: columns)
      }
    }
  }
}
