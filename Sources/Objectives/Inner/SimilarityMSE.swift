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
    let (students, teachers) = (batch.student.unitRows(), batch.teacher.unitRows())
    let own = x.value.converted(to: .float32)
    let unit = own.unitRows()
    let difference = Tensor(uninitialized: [own.rows, students.rows])
    matrixMultiply(teachers.rows(batch.own), teachers, transposeB: true, into: difference)
    difference.scale(by: -1)
    matrixMultiply(unit, students, transposeB: true, into: difference, accumulate: true)
    var sum = 0.0
    for value in difference.buffer { sum += Double(value) * Double(value) }
    let slope = Tensor(uninitialized: own.shape)
    matrixMultiply(difference, students, into: slope)
    // dx = (dŝ − ŝ (ŝ·dŝ)) / |x|
    for row in 0..<own.rows {
      let (values, direction) = (own.floats + row * own.columns, unit.floats + row * own.columns)
      let gradient = slope.floats + row * own.columns
      var (dot, square) = (0.0, 0.0)
      for column in 0..<own.columns {
        dot += Double(direction[column]) * Double(gradient[column])
        square += Double(values[column]) * Double(values[column])
      }
      let scale = Float(4 / max(square.squareRoot(), Tensor.leastLength))
      for column in 0..<own.columns {
        gradient[column] = scale * (gradient[column] - Float(dot) * direction[column])
      }
    }
    return LossTerm(loss: loss(factor * sum, of: x, gradient: slope, scale: Float(factor)), sum: sum)
  }
}

extension Tensor {
  /// A row shorter than this is divided by this to become a direction.
  fileprivate static let leastLength = 1e-12

  /// Each row divided by its length, float32.
  fileprivate func unitRows() -> Tensor {
    let source = converted(to: .float32)
    let result = Tensor(uninitialized: source.shape)
    for row in 0..<rows {
      let (from, to) = (source.floats + row * columns, result.floats + row * columns)
      var square = 0.0
      for column in 0..<columns { square += Double(from[column]) * Double(from[column]) }
      let scale = Float(1 / max(square.squareRoot(), Tensor.leastLength))
      for column in 0..<columns { to[column] = from[column] * scale }
    }
    return result
  }

  fileprivate func scale(by factor: Float) { for index in 0..<count { floats[index] *= factor } }
}
