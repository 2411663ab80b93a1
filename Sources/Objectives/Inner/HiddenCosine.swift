import Autograd
import Layers
import Models
import Tensors

/// One minus the cosine of token states.
struct HiddenCosine: InnerObjective {
  static let kind = "hidden_cosine"
  static let formula = "mean over tokens of 1 − cos(P s, t)"
  static let source = "Sanh et al. (2019), DistilBERT"
  static let options = [
    ObjectiveOption.layers(), .averageLayers, .projection, .shared,
  ]

  let layers: LayerMap
  let averagesLayers: Bool
  let projection: ProjectionRule?

  init(_ options: ObjectiveOptions) {
    layers = options.layers
    averagesLayers = options.flag("average_layers")
    projection = ProjectionRule(options)
  }

  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] {
    try layers.checkedPairs(student: student, teacher: teacher, least: 0)
  }

  func point(of layer: Int) -> PassPoint { .states(layer) }

  func denominator(_ counts: StepCounts, student: ModelShape) -> Double { Double(max(1, counts.tokens)) }

  func loss(_ x: Variable, _ target: Tensor, _ pass: InnerPass, factor: Double, on tape: Tape) -> LossTerm {
    tape.compareRows(x, target, .cosine, factor: factor)
  }
}
