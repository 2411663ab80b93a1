import Autograd
import Layers
import Models
import Tensors

/// The mean squared difference of the cosines between examples: the student finds the same texts alike as the teacher.
///
/// Every example is compared with every other one of the global batch, so widths may differ and nothing is projected.
/// The cosines of a batch need the vectors of all its passes on all ranks, so an optimizer step computes these first,
/// in a forward pass of their own (`BatchVectors`).
struct SimilarityMSE: InnerObjective {
  static let kind = "similarity_mse"
  static let formula = "mean over pairs of examples of the global batch of (cos(sᵢ, sⱼ) − cos(tᵢ, tⱼ))², pooled outputs"
  static let source = "Tung and Mori (2019)"
  static let options: [ObjectiveOption] = []
  static let comparesTokens = false
  static let comparesBatch = true

  init(_ options: ObjectiveOptions) {}

  let averagesLayers = false
  let readsPooled = true

  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] {
    try pooledPair(student: student, teacher: teacher)
  }

  func point(of layer: Int) -> PassPoint { .pooled }

  func denominator(_ counts: StepCounts, student: ModelShape) -> Double {
    Double(max(1, counts.sequences * counts.sequences))
  }

  func loss(_ x: Variable, _ target: Tensor, _ pass: InnerPass, factor: Double, on tape: Tape) -> LossTerm {
    let whole = pass.whole ?? BatchVectors(student: x.value, teacher: target, own: 0..<x.value.rows)
    return tape.compareSimilarities(x, whole, factor: factor)
  }
}

/// The vectors of both models for all examples of a step, on every rank.
package struct BatchVectors: Sendable {
  /// The student's, [N, D].
  let student: Tensor
  /// The teacher's, [N, D'].
  let teacher: Tensor
  /// The rows of a pass among them.
  let own: Range<Int>

  /// The vectors of N examples, of which a pass has the rows `own`.
  package init(student: Tensor, teacher: Tensor, own: Range<Int>) {
    (self.student, self.teacher, self.own) = (student, teacher, own)
  }
}

extension Tape {
  /// factor · Σ_i Σ_j (ŝᵢ·ŝⱼ − t̂ᵢ·t̂ⱼ)² over the rows i of a pass and all rows j of the batch, ŝ = s / |s|, and the
  /// sum without the factor.
  ///
  /// The gradient is that of the sum over the whole batch: sᵢ stands in the pair (i, j) and in (j, i), so that
  /// ∂/∂ŝᵢ = 4 Σ_j (ŝᵢ·ŝⱼ − t̂ᵢ·t̂ⱼ) ŝⱼ.
  ///
  /// - Parameter x: the student's vectors of the pass, [R, D].
  func compareSimilarities(_ x: Variable, _ batch: BatchVectors, factor: Double) -> LossTerm {
    precondition(x.value.rows == batch.own.count, "\(x.value.rows) rows of a pass with rows \(batch.own)")
    func directions(_ vectors: Tensor) -> Tensor { unitRows(Variable(constant: vectors.converted(to: .float32))).value }
    let (students, teachers) = (directions(batch.student), directions(batch.teacher))
    let own = unitRows(converted(x, to: .float32))
    let difference = Tensor(uninitialized: [own.value.rows, students.rows])
    matrixMultiply(teachers.rows(batch.own), teachers, transposeB: true, into: difference)
    for index in 0..<difference.count { difference.floats[index] *= -1 }
    matrixMultiply(own.value, students, transposeB: true, into: difference, accumulate: true)
    let sum = difference.buffer.reduce(0.0) { $0 + Double($1) * Double($1) }
    let slope = Tensor(uninitialized: own.shape)
    matrixMultiply(difference, students, into: slope)
    return LossTerm(loss: loss(factor * sum, of: own, gradient: slope, scale: Float(4 * factor)), sum: sum)
  }
}
