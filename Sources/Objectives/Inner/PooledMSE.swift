import Autograd
import Layers
import Models
import Tensors

/// The mean squared difference of pooled outputs.
struct PooledMSE: InnerObjective {
  static let kind = "pooled_mse"
  static let formula = "mean over examples and dimensions of (P s − t)², pooled outputs"
  static let source = "Reimers and Gurevych (2020)"
  static let options = [ObjectiveOption.projection]
  static let comparesTokens = false

  let projection: ProjectionRule?

  init(_ options: ObjectiveOptions) { projection = ProjectionRule(options) }

  var averagesLayers: Bool { false }

  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] {
    for (shape, whose) in [(student, "student"), (teacher, "teacher")] where !shape.hasPooler {
      throw ObjectiveRefusal(
        key: nil, what: "compares pooled outputs, and the \(whose) has none",
        remedy: "compare states: hidden_mse or patient_mse")
    }
    return [LayerPair(student.layers, teacher.layers)]
  }

  func point(of layer: Int) -> PassPoint { .pooled }
  func denominator(_ counts: StepCounts, student: ModelShape) -> Double { Double(max(1, counts.sequences)) }

  func loss(_ x: Variable, _ target: Tensor, _ pass: InnerPass, factor: Double, on tape: Tape) -> LossTerm {
    scaled(
      tape.compareRows(x, target, .squared, factor: factor / Double(target.columns)), by: 1 / Double(target.columns))
  }
}
