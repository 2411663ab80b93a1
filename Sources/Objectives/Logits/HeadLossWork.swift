import Autograd
import CKernels
import Tensors

/// The loss of logits = states·headᵀ, computed by chunks of rows and, within each, by blocks of classes.
///
///     for each chunk of rows
///       for each block of classes: logits = x·Wᵀ (student), t = y·Uᵀ (teacher) → maxima and sums of each row
///       for each block of classes: g = dLoss/dlogits → dx += g·W, dW += gᵀ·x
///
/// The logits of a chunk are kept from the first pass to the second; g exists for one block only. A block is small
/// enough to stay in the cache after its product; a chunk is large enough to amortise reading W and adding to dW.
final class HeadLossWork {
  private let tape: Tape
  private let states: Variable
  private let rows: [Int32]?
  private let head: Parameter
  private let labels: [Int32]
  private let teachers: ChunkTeachers
  private let plan: LogitsPlan
  /// The head in the format that products read.
  private let weight: Tensor
  private let wantsStates: Bool
  private let headGradient: (buffer: Tensor, adds: Bool)?
  /// dLoss/dstates, [T, h]; nil without a gradient of the states.
  private let stateGradient: Tensor?
  private var sums: [Double]
  private var total = 0.0

  private var classes: Int { head.value.rows }
  private var hidden: Int { head.value.columns }
  private var isRounded: Bool { weight.dtype == .bfloat16 }

  init(
    _ tape: Tape, _ states: Variable, rows: [Int32]?, head: Parameter, labels: [Int32], signals: [TeacherLogits?],
    plan: LogitsPlan
  ) {
    let count = rows?.count ?? states.value.rows
    precondition(
      states.value.columns == head.value.columns && labels.count == count,
      "the loss of \(count) rows of states \(states.shape) under a head \(head.shape) with \(labels.count) labels")
    precondition(head.gradientRows == nil, "the gradient of head \(head.name) has some rows only")
    (self.tape, self.states, self.rows, self.head, self.labels) = (tape, states, rows, head, labels)
    self.plan = plan
    teachers = ChunkTeachers(plan, signals, rows: count)
    weight =
      head.isRoundedFactor(in: tape.precision) ? tape.weights.copy(of: head) : head.value.converted(to: .float32)
    // A loss with zero weight is reported and needs no gradient.
    let counts = tape.isRecording && plan.hasGradient
    wantsStates = counts && states.needsGradient
    if counts && head.isTrained { tape.needGradient(of: head) }
    headGradient = counts && !labels.isEmpty ? head.gradientForSum() : nil
    stateGradient = wantsStates ? .zeros([states.value.rows, states.value.columns]) : nil
    sums = [Double](repeating: 0, count: plan.termCount)
  }

  /// Computes all rows and records the loss on the tape.
  func run() -> LogitsLoss {
    weight.whileInMemory {
      teachers.whileInMemory {
        for part in HeadLossChunks.ranges(rows: labels.count, classes: classes) { chunk(part) }
      }
    }
    let loss = tape.record(
      Tensor([Float(total)], []), from: [states],
      HeadLossOperation(states: states.place, gradient: stateGradient, head: head))
    return LogitsLoss(loss: loss, sums: sums)
  }

  private func chunk(_ part: Range<Int>) {
    let x = operand(states.value, rows: rows.map { Array($0[part]) }, part, like: weight)
    let logits = Tensor(uninitialized: [x.rows * classes])
    let work = teachers.work(part, labels: labels[part], classes: classes) {
      operand($0, rows: nil, part, like: $1)
    }
    func scores(_ block: Range<Int>) -> Tensor {
      logits.slice(at: block.lowerBound * x.rows, [x.rows, block.count])
    }
    let blocks = HeadLossChunks.blocks(classes: classes, border: plan.compared(of: classes))
    for block in blocks {
      matrixMultiply(x, weight.rows(block), transposeB: true, into: scores(block))
      work.add(scores(block), block)
    }
    let (own, value) = work.finish(blocks, scores)
    for (term, sum) in own.enumerated() { sums[term] += sum }
    total += value
    if wantsStates || headGradient != nil { sendBack(part, x, blocks, scores, work) }
  }

  /// dx += g·W and dW += gᵀ·x for the rows of a chunk.
  private func sendBack(
    _ part: Range<Int>, _ x: Tensor, _ blocks: [Range<Int>], _ scores: (Range<Int>) -> Tensor, _ work: RowLossWork
  ) {
    let dx = Tensor(uninitialized: [x.rows, hidden])
    let room = Tensor(uninitialized: [x.rows, min(classes, HeadLossChunks.blockClasses)], weight.dtype)
    for block in blocks {
      let g = room.slice(at: 0, [x.rows, block.count])
      // Padding rows must add nothing to dW.
      if x.rows > part.count { g.rows(part.count..<x.rows).clear() }
      work.gradient(of: scores(block), block, into: g)
      if wantsStates { matrixMultiply(g, weight.rows(block), into: dx, accumulate: block.lowerBound > 0) }
      if let headGradient {
        matrixMultiply(
          g, transposeA: true, x, into: headGradient.buffer.rows(block),
          accumulate: headGradient.adds || part.lowerBound > 0)
      }
    }
    guard let stateGradient else { return }
    if let rows {
      rtk_scatter_add_rows(stateGradient.floats, dx.floats, Array(rows[part]), part.count, hidden)
    } else {
      stateGradient.rows(part).update(from: dx.rows(0..<part.count))
    }
  }

  /// The rows of a chunk in the format of this matrix; in bf16 padded with rows of zeros, which keeps the number of
  /// product shapes small.
  private func operand(_ x: Tensor, rows: [Int32]?, _ part: Range<Int>, like matrix: Tensor) -> Tensor {
    let given = x.dtype
    let count = isRounded ? HeadLossChunks.padded(part.count) : part.count
    let result = Tensor(uninitialized: [count, x.columns], matrix.dtype)
    var chosen = x
    if let rows {
      chosen = given == matrix.dtype ? result : Tensor(uninitialized: [part.count, x.columns], given)
      if given == .bfloat16 {
        rtk_bf16_gather_rows(chosen.bf16Words, x.bf16Words, rows, rows.count, x.columns)
      } else {
        rtk_gather_rows(chosen.floats, x.floats, rows, rows.count, x.columns)
      }
    } else {
      chosen = x.rows(part)
      if count == part.count && given == matrix.dtype { return chosen }
      if given == matrix.dtype { result.rows(0..<part.count).copyBits(of: chosen) }
    }
    let numbers = part.count * x.columns
    switch (given, matrix.dtype) {
    case (.float32, .bfloat16): rtk_f32_to_bf16(result.bf16Words, chosen.floats, numbers)
    case (.bfloat16, .float32): rtk_bf16_to_f32(result.floats, chosen.bf16Words, numbers)
    default: break
    }
    result.rows(part.count..<count).clear()
    return result
  }
}
