import CKernels
import Tensors

/// One loss of a head at work: chunks of rows, and in each of them blocks of classes.
///
///     for each chunk of rows
///       for each block of classes: logits = x·Wᵀ (student), t = y·Uᵀ (teacher) → maxima and sums of each row
///       for each block of classes: g = dLoss/dlogits → dx += g·W, dW += gᵀ·x
///
/// The logits of a chunk are kept from the first pass to the second; of g there is one block. A block is small enough
/// for the cache that the product has left it in, a chunk large enough for the products, whose cost of reading W and
/// adding to dW is that of a chunk.
final class HeadLossWork {
  private let tape: Tape
  private let states: Variable
  private let rows: [Int32]?
  private let head: Parameter
  private let labels: [Int32]
  private let targets: SoftTargets?
  private let terms: HeadLossTerms
  private let denominator: Double
  /// The head as products read it.
  private let weight: Tensor
  private let wantsStates: Bool
  private let headGradient: Tensor?
  /// dLoss/dstates, [T, h], where it is wanted.
  let stateGradient: Tensor?
  private var crossEntropySum = 0.0
  private var distillationSum = 0.0

  private var classes: Int { head.value.rows }
  private var hidden: Int { head.value.columns }
  private var temperature: Float { Float(terms.temperature) }
  private var isRounded: Bool { weight.dtype == .bfloat16 }

  init(
    _ tape: Tape, _ states: Variable, rows: [Int32]?, head: Parameter, labels: [Int32], targets: SoftTargets?,
    terms: HeadLossTerms, denominator: Double
  ) {
    let count = rows?.count ?? states.value.rows
    precondition(
      states.value.columns == head.value.columns && labels.count == count && (targets?.rowCount ?? count) == count,
      "the loss of \(count) rows of states \(states.shape) under a head \(head.shape) with \(labels.count) labels and "
        + "\(targets.map { "\($0.rowCount)" } ?? "no") rows of a teacher's")
    precondition(head.gradientRows == nil, "the gradient of head \(head.name) has some rows only")
    if let best = targets?.best {
      precondition(
        best.temperature == Float(terms.temperature),
        "the rest of a top-k at temperature \(best.temperature) in a loss at \(terms.temperature)")
    }
    (self.tape, self.states, self.rows, self.head, self.labels) = (tape, states, rows, head, labels)
    (self.targets, self.terms, self.denominator) = (targets, terms, denominator)
    weight =
      head.isRoundedFactor(in: tape.precision) ? tape.weights.copy(of: head) : head.value.converted(to: .float32)
    // A loss that counts for nothing is reported, and costs no gradient.
    let counts = terms.crossEntropyWeight != 0 || terms.distillationWeight != 0 && targets != nil
    wantsStates = tape.isRecording && counts && states.needsGradient
    if tape.isRecording && counts && head.gradient != nil { tape.needGradient(of: head) }
    headGradient = tape.isRecording && counts ? head.gradient : nil
    stateGradient = wantsStates ? .zeros([states.value.rows, states.value.columns]) : nil
  }

  /// The loss, when all rows are done.
  func result() -> HeadLoss {
    let sum = terms.crossEntropyWeight * crossEntropySum + terms.distillationWeight * distillationSum
    let loss = tape.record(
      Tensor([Float(sum / denominator)], []), from: [states],
      HeadLossOperation(states: states.place, gradient: stateGradient, head: head))
    return HeadLoss(loss: loss, crossEntropySum: crossEntropySum, distillationSum: distillationSum)
  }

  /// Does all rows.
  ///
  /// - Parameters:
  ///   - chunks: the rows, part by part.
  ///   - first: the number of the head's first class.
  ///   - exchange: makes the sums of a chunk's rows those over the classes of all ranks.
  func run(_ chunks: [Range<Int>], first: Int, _ exchange: (HeadRows) throws -> Void) rethrows {
    try weight.whileInMemory {
      try (targets?.head ?? weight).whileInMemory {
        for part in chunks { try chunk(part, first: first, exchange) }
      }
    }
  }

  private func chunk(_ part: Range<Int>, first: Int, _ exchange: (HeadRows) throws -> Void) rethrows {
    let x = operand(states.value, rows: rows.map { Array($0[part]) }, part, like: weight)
    let teacher = teacher(part)
    let logits = Tensor(uninitialized: [x.rows * classes])
    let sums = HeadRows(labels: labels[part], best: targets?.best?.rows(part), hasTeacher: teacher != nil)
    for block in blocks {
      let scores = logits.slice(at: block.lowerBound * x.rows, [x.rows, block.count])
      matrixMultiply(x, weight.rows(block), transposeB: true, into: scores)
      sums.add(
        scores, teacher?.block(block, computing: true), first: first + block.lowerBound, temperature: temperature)
    }
    try exchange(sums)
    let loss = sums.finish(terms, denominator: denominator)
    crossEntropySum += loss.hard
    distillationSum += loss.soft
    if wantsStates || headGradient != nil { sendBack(part, x, logits, teacher, sums, first: first) }
  }

  /// The teacher's logits of a chunk; nil without a teacher, and where it names only some classes.
  private func teacher(_ part: Range<Int>) -> HeadTeacher? {
    switch targets {
    case .logits(let logits)?: HeadTeacher(given: logits.rows(part), classes: classes)
    case .hidden(let given, let head)?:
      HeadTeacher(states: operand(given, rows: nil, part, like: head), head: head, classes: classes)
    case .topK?, nil: nil
    }
  }

  /// dx += g·W and dW += gᵀ·x for the rows of a chunk.
  private func sendBack(
    _ part: Range<Int>, _ x: Tensor, _ logits: Tensor, _ teacher: HeadTeacher?, _ sums: HeadRows, first: Int
  ) {
    let dx = Tensor(uninitialized: [x.rows, hidden])
    let room = Tensor(uninitialized: [x.rows, min(classes, HeadLossChunks.blockClasses)], weight.dtype)
    for block in blocks {
      let scores = logits.slice(at: block.lowerBound * x.rows, [x.rows, block.count])
      let g = room.slice(at: 0, scores.shape)
      // Rows behind the last are padding, which is to add nothing to dW.
      if x.rows > part.count { g.rows(part.count..<x.rows).clear() }
      sums.gradient(
        of: scores, teacher?.block(block, computing: false), into: g, first: first + block.lowerBound, terms: terms,
        denominator: denominator)
      if wantsStates { matrixMultiply(g, weight.rows(block), into: dx, accumulate: block.lowerBound > 0) }
      if let headGradient {
        matrixMultiply(g, transposeA: true, x, into: headGradient.rows(block), accumulate: true)
      }
    }
    guard let stateGradient else { return }
    if let rows {
      rtk_scatter_add_rows(stateGradient.floats, dx.floats, Array(rows[part]), part.count, hidden)
    } else {
      stateGradient.rows(part).update(from: dx.rows(0..<part.count))
    }
  }

  private var blocks: [Range<Int>] {
    let most = HeadLossChunks.blockClasses
    return stride(from: 0, to: classes, by: most).map { $0..<min($0 + most, classes) }
  }

  /// The rows of a chunk as a product with this matrix reads them; in bf16 with rows of zeros behind, so that few
  /// shapes of products occur.
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
