import CKernels
import Tensors

/// AdamW on the rows of a table of which a step touches few; every row comes to the bits that `AdamW` gives it.
///
/// A row without a gradient still moves, since its moments are not zero, and shrinks where there is weight decay. Such
/// steps are taken when the row is next wanted, all at once and with the arithmetic they would have had:
///
///     step       1 2 3 4 5 6 7        ■ a step with a gradient
///     row 12     ■ · · · · ■ ·        · steps 2 to 5 are taken just before step 6, on a row in registers
///     row 13     · · · · · · ·        never touched: without decay there is nothing to do, and no memory is used
///
/// Only every `stride`-th row is this object's, so that ranks can share a table out.
public final class RowAdamW {
  private let configuration: AdamWConfiguration
  private let decays: Bool
  private let table: Tensor
  private let first: Int
  private let stride: Int
  private let historyLimit: Int
  /// The constants of the steps since all rows were last level.
  private var history: [rtk_adamw_step] = []
  /// How many steps of the history each own row has had, [count].
  private var done: [Int32]
  /// Whether an own row has moments that are not zero, [count].
  private var isTouched: [Bool]
  /// First moments of the own rows, [count, C].
  public let firstMoments: Tensor
  /// Second moments of the own rows, [count, C].
  public let secondMoments: Tensor

  /// Moments are zero, and take memory only for rows that get a gradient.
  ///
  /// - Parameters:
  ///   - table: [V, C]; rows `first`, `first` + `stride`, … are updated in place, no other row is touched.
  ///   - decays: whether weight decay applies.
  ///   - historyLimit: steps after which all own rows are brought up to date, which bounds what is remembered.
  public init(
    _ configuration: AdamWConfiguration, table: Tensor, first: Int = 0, stride: Int = 1, decays: Bool,
    historyLimit: Int = 1 << 16
  ) {
    precondition(first >= 0 && stride > 0 && historyLimit > 0, "rows \(first), +\(stride), … of \(table.shape)")
    self.configuration = configuration
    self.table = table
    self.first = first
    self.stride = stride
    self.decays = decays
    self.historyLimit = historyLimit
    let count = max(0, (table.rows - first + stride - 1) / stride)
    done = Array(repeating: 0, count: count)
    isTouched = Array(repeating: false, count: count)
    firstMoments = .untouchedZeros([count, table.columns])
    secondMoments = .untouchedZeros([count, table.columns])
  }

  /// Own rows.
  public var count: Int { done.count }

  /// Takes the steps that some own rows have missed.
  ///
  /// - Parameter rows: numbers in the table, all of them own rows.
  public func catchUp(_ rows: [Int32]) {
    for row in rows { catchUp(own: place(of: row)) }
  }

  /// Takes the steps that any own row has missed; afterwards the table is what `AdamW` would have made of it.
  public func catchUp() {
    if history.isEmpty { return }
    for own in 0..<count { catchUp(own: own) }
    history.removeAll(keepingCapacity: true)
    for own in 0..<count { done[own] = 0 }
  }

  /// Takes one step, on some rows now and on the others when they are wanted.
  ///
  /// - Parameters:
  ///   - t: from 1; one more than that of the call before.
  ///   - rows: own rows that have a gradient, each once.
  ///   - gradients: theirs in this order, [at least rows.count, C].
  public func step(
    _ t: Int, learningRate: Double, gradientScale: Double, rows: [Int32], gradients: Tensor
  ) {
    precondition(
      gradients.rows >= rows.count && gradients.columns == table.columns,
      "gradients \(gradients.shape) for \(rows.count) rows of \(table.shape)")
    catchUp(rows)
    if history.count == historyLimit { catchUp() }
    var step = configuration.constants(
      step: t, learningRate: learningRate, gradientScale: gradientScale, decays: decays)
    history.append(step)
    for (index, row) in rows.enumerated() {
      let own = place(of: row)
      let offset = own * table.columns
      rtk_adamw(
        weights(own), gradients.floats + index * table.columns, firstMoments.floats + offset,
        secondMoments.floats + offset, table.columns, &step)
      done[own] = Int32(history.count)
      isTouched[own] = true
    }
  }

  /// Sets the moments of an own row, as a checkpoint has them; the row is up to date afterwards.
  public func restore(row: Int32, first: UnsafePointer<Float>, second: UnsafePointer<Float>) {
    let own = place(of: row)
    let (m, v) = (firstMoments.floats + own * table.columns, secondMoments.floats + own * table.columns)
    done[own] = Int32(history.count)
    let isZero = (0..<table.columns).allSatisfy { first[$0].bitPattern == 0 && second[$0].bitPattern == 0 }
    // Zeros that are not written take no memory.
    if isZero && !isTouched[own] { return }
    m.update(from: first, count: table.columns)
    v.update(from: second, count: table.columns)
    isTouched[own] = true
  }

  private func place(of row: Int32) -> Int {
    let (own, rest) = (Int(row) - first).quotientAndRemainder(dividingBy: stride)
    precondition(rest == 0 && done.indices.contains(own), "row \(row) is not among \(first), +\(stride), …")
    return own
  }

  private func weights(_ own: Int) -> UnsafeMutablePointer<Float> {
    table.floats + (first + own * stride) * table.columns
  }

  private func catchUp(own: Int) {
    let missed = history.count - Int(done[own])
    if missed == 0 { return }
    done[own] = Int32(history.count)
    if isTouched[own] {
      let offset = own * table.columns
      history.withUnsafeBufferPointer { steps in
        rtk_adamw_idle(
          weights(own), firstMoments.floats + offset, secondMoments.floats + offset, table.columns,
          steps.baseAddress! + steps.count - missed, missed)
      }
    } else if decays && configuration.weightDecay != 0 {
      // With zero moments p·keep − 0 is all there is to a step.
      for step in history.suffix(missed) { rtk_scale(weights(own), step.keep, table.columns) }
    }
  }
}
