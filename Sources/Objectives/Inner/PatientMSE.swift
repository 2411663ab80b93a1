import Autograd
import Layers
import Models
import Tensors

/// The mean squared difference of the first tokens' states, each normalised to length 1.
struct PatientMSE: InnerObjective {
  static let kind = "patient_mse"
  static let formula =
    "mean over examples and dimensions of (ŝ − t̂)², ŝ = P s / &#124;P s&#124; of the first token"
  static let source = "Sun et al. (2019), PKD"
  static let options = [
    ObjectiveOption.layers(), .averageLayers, .projection, .shared,
  ]
  static let comparesTokens = false
  static let reading = Reading.firstTokens

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

  func denominator(_ counts: StepCounts, student: ModelShape) -> Double { Double(max(1, counts.sequences)) }

  func loss(_ x: Variable, _ target: Tensor, _ pass: InnerPass, factor: Double, on tape: Tape) -> LossTerm {
    scaled(
      tape.compareRows(x, target, .unitSquared, factor: factor / Double(target.columns)),
      by: 1 / Double(target.columns))
  }
}
