import CKernels
import Tensors

/// AdamW on a table when an optimizer step touches few of its rows; every row gets the same bits as with `AdamW`.
///
/// A row without a gradient still moves, since its moments are not zero, and shrinks under weight decay. Such steps
/// are deferred until the row is next used, and then taken at once with the same arithmetic:
///
///     step       1 2 3 4 5 6 7        ■ a step with a gradient
///     row 12     ■ · · · · ■ ·        · steps 2 to 5 are taken just before step 6, on a row in registers
///     row 13     · · · · · · ·        never touched: without decay it needs no work and no memory
///
/// This object owns only every `stride`-th row, so that ranks can divide a table.
package final class RowAdamW {
  private var configuration: AdamWConfiguration
  private let decays: Bool
  private let table: Tensor
  private let first: Int
  private let stride: Int
  private let historyLimit: Int
  /// The constants of the steps since all rows were last up to date.
  private var history: [rtk_adamw_step] = []
  /// The number of steps in the history that each owned row has taken, [count].
  private var done: [Int32]
  /// Whether an owned row has nonzero moments, [count].
  private var isTouched: [Bool]
  /// First moments of the owned rows, [count, C].
  package let firstMoments: Tensor
  /// Second moments of the owned rows, [count, C].
  package let secondMoments: Tensor

  /// Starts with zero moments, which use memory only for rows that get a gradient.
  ///
  /// - Parameters:
  ///   - table: [V, C]; only rows `first`, `first` + `stride`, … are updated, in place.
  ///   - decays: whether weight decay applies.
  ///   - historyLimit: the steps after which all owned rows are brought up to date, which bounds the history.
  package init(
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

  /// The number of owned rows.
  package var count: Int { done.count }

  /// Takes the deferred steps of some owned rows.
  ///
  /// - Parameter rows: row numbers in the table; all must be owned.
  package func catchUp(_ rows: [Int32]) {
    for row in rows { catchUp(own: place(of: row)) }
  }

  /// Takes the deferred steps of all owned rows; afterwards the rows equal those of `AdamW`.
  package func catchUp() {
    if history.isEmpty { return }
    for own in 0..<count { catchUp(own: own) }
    history.removeAll(keepingCapacity: true)
    for own in 0..<count { done[own] = 0 }
  }

  /// Takes one step: on rows with a gradient now, on the others when they are next used.
  ///
  /// - Parameters:
  ///   - t: from 1; one more than in the previous call.
  ///   - rows: the owned rows that have a gradient, each once.
  ///   - gradients: their gradients in this order, [at least rows.count, C].
  package func step(
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

  /// Starts over with zero moments and t = 1, for the next training stage; first takes all deferred steps.
  package func restart(_ configuration: AdamWConfiguration) {
    catchUp()
    self.configuration = configuration
    for own in 0..<count where isTouched[own] {
      firstMoments.rows(own..<own + 1).fill(0)
      secondMoments.rows(own..<own + 1).fill(0)
      isTouched[own] = false
    }
  }

  /// Sets the moments of an owned row from a checkpoint; the row is then up to date.
  package func restore(row: Int32, first: UnsafePointer<Float>, second: UnsafePointer<Float>) {
    let own = place(of: row)
    let (m, v) = (firstMoments.floats + own * table.columns, secondMoments.floats + own * table.columns)
    done[own] = Int32(history.count)
    let isZero = (0..<table.columns).allSatisfy { first[$0].bitPattern == 0 && second[$0].bitPattern == 0 }
    // Unwritten zeros use no memory.
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
      // With zero moments a step is p·keep − 0.
      for step in history.suffix(missed) { rtk_scale(weights(own), step.keep, table.columns) }
    }
  }
}
