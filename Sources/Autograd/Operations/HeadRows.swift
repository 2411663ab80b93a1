import CKernels
import Collectives
import Tensors

/// Numbers that kernels read or write for each row of a chunk; copies share them.
private struct RowNumbers<Number: BitwiseCopyable> {
  private let storage: Storage
  let count: Int

  init(_ count: Int, _ value: Number) {
    storage = Storage(bytes: count * MemoryLayout<Number>.stride)
    self.count = count
    start.initialize(repeating: value, count: count)
  }

  init(_ values: some Collection<Number>) {
    storage = Storage(bytes: values.count * MemoryLayout<Number>.stride)
    count = values.count
    _ = buffer.initialize(fromContentsOf: values)
  }

  /// Valid while this is held.
  var start: UnsafeMutablePointer<Number> { storage.address.assumingMemoryBound(to: Number.self) }
  var buffer: UnsafeMutableBufferPointer<Number> { UnsafeMutableBufferPointer(start: start, count: count) }
}

/// The rows of a chunk: what has been seen of their logits, then what their gradients are made from.
struct HeadRows {
  private let labels: RowNumbers<Int32>
  private let hasTeacher: Bool
  private let sums: RowNumbers<rtk_head_row>
  private let factors: RowNumbers<rtk_head_factors>
  /// The logit of each row's label.
  private let scores: RowNumbers<Double>
  /// Of the k classes that a teacher names, if it names any, [R, k].
  private let best: Best?

  private struct Best {
    let targets: TopKTargets
    let classes: RowNumbers<Int32>
    let rest: RowNumbers<Float>
    /// The student's logits of these classes.
    let scores: RowNumbers<Double>
    let gradients: Tensor
    var k: Int { targets.logits.columns }
  }

  private var count: Int { labels.count }

  /// Rows of which nothing has been seen; `best` has as many, as far as it is there.
  init(labels: some Collection<Int32>, best: TopKTargets?, hasTeacher: Bool) {
    self.labels = RowNumbers(labels)
    self.hasTeacher = hasTeacher
    let none = rtk_head_row(
      student_max: -.infinity, teacher_max: -.infinity, student_sum: 0, soft_student_sum: 0, teacher_sum: 0,
      difference: 0)
    sums = RowNumbers(labels.count, none)
    factors = RowNumbers(labels.count, rtk_head_factors())
    scores = RowNumbers(labels.count, 0)
    self.best = best.map {
      Best(
        targets: $0, classes: RowNumbers($0.classes), rest: RowNumbers($0.logRest),
        scores: RowNumbers($0.logits.count, 0), gradients: Tensor(uninitialized: $0.logits.shape))
    }
  }

  /// Takes the student's and the teacher's logits of some classes into the sums.
  ///
  /// - Parameters:
  ///   - logits: [R or more, classes]; those of classes that the teacher names become −∞.
  ///   - first: the number of the first of the classes.
  func add(_ logits: Tensor, _ teacher: HeadTeacher.Block?, first: Int, temperature: Float) {
    let columns = logits.columns
    ThreadTeam.split(count, cost: columns) { part in
      let (row, rows) = (part.lowerBound, part.count)
      let student = logits.floats + row * columns
      rtk_head_pick(scores.start + row, student, labels.start + row, 1, first, rows, columns)
      if let best {
        let (classes, k) = (best.classes.start + row * best.k, best.k)
        rtk_head_pick(best.scores.start + row * k, student, classes, k, first, rows, columns)
        rtk_head_leave_out(student, classes, k, first, rows, columns)
      }
      HeadTeacher.Block.with(teacher, from: row) {
        rtk_head_sums(sums.start + row, student, $0, rows, columns, temperature)
      }
    }
  }

  /// Makes the sums those over the classes of all ranks: one maximum and one sum.
  func exchange(on communicator: any Communicator, temperature: Float) throws {
    let largest = RowNumbers<Float>(2 * count, 0)
    for row in 0..<count {
      largest.start[row] = sums.start[row].student_max
      largest.start[count + row] = sums.start[row].teacher_max
    }
    try communicator.allReduce(largest.buffer, .max)
    rtk_head_shift(sums.start, largest.start, largest.start + count, count, temperature)
    let width = 5 + (best?.k ?? 0)
    let numbers = RowNumbers<Double>(width * count, 0)
    for row in 0..<count {
      let (sum, to) = (sums.start[row], numbers.start + row * width)
      (to[0], to[1], to[2]) = (sum.student_sum, sum.soft_student_sum, sum.teacher_sum)
      (to[3], to[4]) = (sum.difference, scores.start[row])
      if let best { (to + 5).update(from: best.scores.start + row * best.k, count: best.k) }
    }
    try communicator.allReduce(numbers.buffer, .sum)
    for row in 0..<count {
      let from = numbers.start + row * width
      sums.start[row].student_sum = from[0]
      sums.start[row].soft_student_sum = from[1]
      sums.start[row].teacher_sum = from[2]
      sums.start[row].difference = from[3]
      scores.start[row] = from[4]
      if let best { (best.scores.start + row * best.k).update(from: from + 5, count: best.k) }
    }
  }

  /// The sums of the rows' cross-entropies and of their T²·KL, when all classes have been seen.
  ///
  /// `terms` are those of the gradients, which are of (ce·hard + kd·soft) / denominator.
  func finish(_ terms: HeadLossTerms, denominator: Double) -> (hard: Double, soft: Double) {
    let values = RowNumbers<Double>(2 * count, 0)
    let (hard, soft) = (values.start, values.start + count)
    let (hardWeight, softWeight) = (terms.crossEntropyWeight / denominator, terms.distillationWeight / denominator)
    let temperature = Float(terms.temperature)
    if let best {
      var top = rtk_head_top_k(
        k: best.k, logits: best.targets.logits.floats, log_rest: best.rest.start, classes: best.classes.start,
        scores: best.scores.start)
      rtk_head_finish_top_k(
        hard, soft, factors.start, best.gradients.floats, sums.start, scores.start, labels.start, &top, count,
        hardWeight, softWeight, temperature)
    } else {
      rtk_head_finish(
        hard, soft, factors.start, sums.start, scores.start, labels.start, count, hasTeacher, hardWeight, softWeight,
        temperature)
    }
    return ((0..<count).reduce(0) { $0 + hard[$1] }, (0..<count).reduce(0) { $0 + soft[$1] })
  }

  /// Writes the gradients with respect to the logits of some classes into `gradient`, [R or more, classes], rounded
  /// where that is bf16; after `finish`, with what was given to `add`.
  func gradient(
    of logits: Tensor, _ teacher: HeadTeacher.Block?, into gradient: Tensor, first: Int, terms: HeadLossTerms,
    denominator: Double
  ) {
    let (columns, rounds) = (logits.columns, gradient.dtype == .bfloat16)
    let place = UnsafeMutableRawPointer(mutating: gradient.bytes.baseAddress)
    ThreadTeam.split(count, cost: columns) { part in
      let (row, rows) = (part.lowerBound, part.count)
      let to = place.map { $0 + row * columns * gradient.dtype.size }
      HeadTeacher.Block.with(teacher, from: row) {
        rtk_head_gradient(
          to, rounds, logits.floats + row * columns, $0, factors.start + row, labels.start + row, first, rows, columns,
          terms.crossEntropyWeight / denominator, Float(terms.temperature))
      }
      if let best {
        let k = best.k
        rtk_head_put(
          to, rounds, best.gradients.floats + row * k, best.classes.start + row * k, k, first, rows, columns)
      }
    }
  }
}

/// A teacher's logits of a chunk of rows: given, or made from its states block by block.
struct HeadTeacher {
  /// The logits of some classes.
  struct Block {
    let logits: Tensor
    /// The place of the first in the tensor, and the numbers from one row to the next.
    let first: Int
    let stride: Int

    /// Calls `body` with the rows from one on of a block, as kernels read it, or with nil.
    static func with(_ block: Block?, from row: Int, _ body: (UnsafePointer<rtk_head_teacher>?) -> Void) {
      guard let block, let start = block.logits.bytes.baseAddress else { return body(nil) }
      var rows = rtk_head_teacher(
        logits: start + (block.first + row * block.stride) * block.logits.dtype.size, stride: block.stride,
        is_bf16: block.logits.dtype == .bfloat16)
      withExtendedLifetime(block.logits) { body(&rows) }
    }
  }

  private let logits: Tensor
  private let made: (states: Tensor, head: Tensor)?

  /// Logits [R, classes].
  init(given logits: Tensor, classes: Int) {
    precondition(logits.columns == classes, "a teacher's logits \(logits.shape) for \(classes) classes")
    self.logits = logits
    made = nil
  }

  /// Logits that `states` [R or more, h] and `head` [classes, h] make.
  init(states: Tensor, head: Tensor, classes: Int) {
    precondition(
      head.rows == classes && head.columns == states.columns,
      "a teacher's states \(states.shape) and head \(head.shape) for \(classes) classes")
    logits = Tensor(uninitialized: [states.rows * classes])
    made = (states, head)
  }

  /// The logits of some classes; `computing` makes them first, and they stay.
  func block(_ classes: Range<Int>, computing: Bool) -> Block {
    guard let (states, head) = made else {
      return Block(logits: logits, first: classes.lowerBound, stride: logits.columns)
    }
    let part = logits.slice(at: classes.lowerBound * states.rows, [states.rows, classes.count])
    if computing { matrixMultiply(states, head.rows(classes), transposeB: true, into: part) }
    return Block(logits: part, first: 0, stride: classes.count)
  }
}
