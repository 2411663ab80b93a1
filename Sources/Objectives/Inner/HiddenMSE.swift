import Autograd
import Layers
import Models
import Tensors

/// The mean squared difference of token states.
struct HiddenMSE: InnerObjective {
  static let kind = "hidden_mse"
  static let formula = "mean over tokens and dimensions of (P s − t)²"
  static let source = "Romero et al. (2015), FitNets; Jiao et al. (2020), TinyBERT"
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
    // The mean over dimensions uses the compared width, which is the teacher's.
    scaled(
      tape.compareRows(x, target, .squared, factor: factor / Double(target.columns)), by: 1 / Double(target.columns))
  }
}
