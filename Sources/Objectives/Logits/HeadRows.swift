import CKernels
import Foundation
import Tensors

/// One number per row of a chunk, read or written by kernels; copies share the storage.
struct RowNumbers<Number: BitwiseCopyable> {
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

  /// Valid while this value is alive.
  var start: UnsafeMutablePointer<Number> { storage.address.assumingMemoryBound(to: Number.self) }
  var buffer: UnsafeMutableBufferPointer<Number> { UnsafeMutableBufferPointer(start: start, count: count) }
}

/// The rows of a chunk: running sums of their logits, then the factors of their gradients.
struct HeadRows {
  private let labels: RowNumbers<Int32>
  private let hasTeacher: Bool
  private let sums: RowNumbers<rtk_head_row>
  private let factors: RowNumbers<rtk_head_factors>
  /// The logit of each row's label.
  private let scores: RowNumbers<Double>
  /// The state of the k classes that a top-k teacher lists, [R, k]; nil for other teachers.
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

  /// Creates rows with empty sums; `best`, if given, has as many rows.
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

  /// Adds the student's and the teacher's logits of a block of classes to the sums.
  ///
  /// - Parameters:
  ///   - logits: [R or more, classes]; top-k classes of the teacher are overwritten with −∞.
  ///   - first: the index of the block's first class.
  func add(_ logits: Tensor, _ teacher: TargetLogits.Block?, first: Int, temperature: Float) {
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
      TargetLogits.Block.with(teacher, from: row) {
        rtk_head_sums(sums.start + row, student, $0, rows, columns, temperature)
      }
    }
  }

  /// The sums over rows of cross-entropy and of T²·KL, after `add` for all blocks.
  ///
  /// The gradients are of hardWeight · Σ cross-entropy + softWeight · Σ T²·KL.
  func finish(hardWeight: Double, softWeight: Double, temperature: Float) -> (hard: Double, soft: Double) {
    let values = RowNumbers<Double>(2 * count, 0)
    let (hard, soft) = (values.start, values.start + count)
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

  /// Writes the gradient with respect to a block's logits into `gradient`, [R or more, classes], rounded if that is
  /// bf16; after `finish`, with the arguments of `add`.
  func gradient(
    of logits: Tensor, _ teacher: TargetLogits.Block?, into gradient: Tensor, first: Int, hardWeight: Double,
    temperature: Float
  ) {
    let (columns, rounds) = (logits.columns, gradient.dtype == .bfloat16)
    let place = UnsafeMutableRawPointer(mutating: gradient.bytes.baseAddress)
    ThreadTeam.split(count, cost: columns) { part in
      let (row, rows) = (part.lowerBound, part.count)
      let to = place.map { $0 + row * columns * gradient.dtype.size }
      TargetLogits.Block.with(teacher, from: row) {
        rtk_head_gradient(
          to, rounds, logits.floats + row * columns, $0, factors.start + row, labels.start + row, first, rows, columns,
          hardWeight, temperature)
      }
      if let best {
        let k = best.k
        rtk_head_put(
          to, rounds, best.gradients.floats + row * k, best.classes.start + row * k, k, first, rows, columns)
      }
    }
  }
}

extension HeadRows {
  /// Adds a divergence over k + 1 buckets (the k classes of the teacher, and one bucket for all others) to the results
  /// of `finish`: the sum over rows, and the gradients.
  ///
  /// The logit of the bucket of all others is T · log Σ e^(s/T) over them; each class c among them gets its share of
  /// the bucket's gradient, e^(s_c/T) / Σ e^(s/T).
  func addBuckets(_ divergence: rtk_divergence, weight: Double) -> Double {
    guard let best else { return 0 }
    let (k, temperature) = (best.k, divergence.temperature)
    let student = Tensor(uninitialized: [count, k + 1])
    let teacher = Tensor(uninitialized: [count, k + 1])
    for row in 0..<count {
      for place in 0..<k {
        student.floats[row * (k + 1) + place] = Float(best.scores.start[row * k + place])
        teacher.floats[row * (k + 1) + place] = best.targets.logits.floats[row * k + place]
      }
      let sum = sums.start[row]
      student.floats[row * (k + 1) + k] =
        sum.student_max == -.infinity
        ? -.infinity : sum.student_max + temperature * Float(log(sum.soft_student_sum))
      teacher.floats[row * (k + 1) + k] = temperature * best.rest.start[row]
    }
    let rows = DivergenceRows(divergence, count: count)
    let target = TargetLogits(given: teacher).block(0..<k + 1, computing: false)
    rows.add(student, target)
    rows.measure(student, target)
    let gradient = Tensor.zeros([count, k + 1])
    rows.addGradient(of: student, target, into: gradient, weights: [Float](repeating: Float(weight), count: count))
    for row in 0..<count {
      for place in 0..<k { best.gradients.floats[row * k + place] += gradient.floats[row * (k + 1) + place] }
      if sums.start[row].student_max > -.infinity {
        factors.start[row].student_shift = sums.start[row].student_max
        factors.start[row].soft += gradient.floats[row * (k + 1) + k] / Float(sums.start[row].soft_student_sum)
      }
    }
    return rows.values.reduce(0, +)
  }
}
