import CKernels
import Tensors

/// One divergence over a chunk of rows, in three passes over the blocks of classes: maxima and sums, then the value,
/// then the gradient.
struct DivergenceRows {
  private let divergence: rtk_divergence
  private let rows: RowNumbers<rtk_divergence_row>

  init(_ divergence: rtk_divergence, count: Int) {
    self.divergence = divergence
    let none = rtk_divergence_row(
      student_max: -.infinity, teacher_max: -.infinity, student_sum: 0, teacher_sum: 0, value: 0, slope: 0)
    rows = RowNumbers(count, none)
  }

  /// Accumulates the maxima and sums of a block of classes, [R or more, classes].
  func add(_ student: Tensor, _ target: TargetLogits.Block?) {
    split(student, target) { row, count, s, t in
      rtk_divergence_sums(rows.start + row, s, t, count, student.columns, divergence.temperature)
    }
  }

  /// Accumulates the value of a block of classes, after `add` for all blocks.
  func measure(_ student: Tensor, _ target: TargetLogits.Block?) {
    split(student, target) { row, count, s, t in
      var kind = divergence
      rtk_divergence_values(&kind, rows.start + row, s, t, count, student.columns)
    }
  }

  /// Σ over classes per row, without the temperature factor.
  var values: [Double] { rows.buffer.map(\.value) }

  /// gradient [R or more, classes] += weights[r] · d(term of row r)/ds, after `measure` for all blocks.
  func addGradient(of student: Tensor, _ target: TargetLogits.Block?, into gradient: Tensor, weights: [Float]) {
    let factors = RowNumbers(weights)
    split(student, target) { row, count, s, t in
      var kind = divergence
      rtk_divergence_gradient(
        &kind, gradient.floats + row * student.columns, rows.start + row, factors.start + row, s, t, count,
        student.columns)
    }
  }

  private func split(
    _ student: Tensor, _ target: TargetLogits.Block?,
    _ body: (_ row: Int, _ rows: Int, UnsafePointer<Float>, UnsafePointer<rtk_head_teacher>?) -> Void
  ) {
    let columns = student.columns
    ThreadTeam.split(rows.count, cost: 4 * columns) { part in
      TargetLogits.Block.with(target, from: part.lowerBound) {
        body(part.lowerBound, part.count, student.floats + part.lowerBound * columns, $0)
      }
    }
  }
}
