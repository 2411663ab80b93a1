import Autograd
import Layers
import Models
import Tensors

/// An inner objective that compares rows of both models one by one: token states, or pooled outputs.
///
/// The mean is over rows, and for squared differences also over the dimensions of a row.
protocol RowObjective: InnerObjective {
  static var comparison: RowComparison { get }
}

extension RowObjective {
  /// The number of rows: one per token, or one per example.
  func denominator(_ counts: StepCounts, student: ModelShape) -> Double {
    Double(max(1, Self.comparesTokens ? counts.tokens : counts.sequences))
  }

  func loss(_ x: Variable, _ target: Tensor, _ pass: InnerPass, factor: Double, on tape: Tape) -> LossTerm {
    guard Self.comparison.sumsElements else { return tape.compareRows(x, target, Self.comparison, factor: factor) }
    // The mean over dimensions uses the compared width, which is the teacher's.
    let width = Double(target.columns)
    let term = tape.compareRows(x, target, Self.comparison, factor: factor / width)
    return LossTerm(loss: term.loss, sum: term.sum * (1 / width))
  }
}

/// A row objective on the states that the pairs of a layer map name.
protocol StatesObjective: RowObjective {
  var states: StatesOptions { get }
  init(states: StatesOptions)
}

/// The options of an objective on states.
struct StatesOptions {
  let layers: LayerMap
  let averagesLayers: Bool
  let projection: ProjectionRule

  init(_ options: ObjectiveOptions) {
    layers = options.layers
    averagesLayers = options.flag("average_layers")
    projection = ProjectionRule(options)
  }
}

extension StatesObjective {
  static var options: [ObjectiveOption] { [.layers(), .averageLayers, .projection, .shared] }

  init(_ options: ObjectiveOptions) { self.init(states: StatesOptions(options)) }

  var averagesLayers: Bool { states.averagesLayers }
  var projection: ProjectionRule? { states.projection }

  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] {
    try states.layers.checkedPairs(student: student, teacher: teacher, least: 0)
  }

  func point(of layer: Int) -> PassPoint { .states(layer) }
}

/// A row objective on pooled outputs.
protocol PooledObjective: RowObjective {
  init(projection: ProjectionRule?)
}

extension PooledObjective {
  static var options: [ObjectiveOption] { [.projection] }
  static var comparesTokens: Bool { false }

  init(_ options: ObjectiveOptions) { self.init(projection: ProjectionRule(options)) }

  var averagesLayers: Bool { false }
  var readsPooled: Bool { true }

  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] {
    try pooledPair(student: student, teacher: teacher)
  }

  func point(of layer: Int) -> PassPoint { .pooled }
}

extension InnerObjective {
  /// The last layers, whose pooled outputs are compared; throws `ObjectiveRefusal` if a model has none.
  func pooledPair(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] {
    for (shape, whose) in [(student, "student"), (teacher, "teacher")] where !shape.hasPooler {
      throw ObjectiveRefusal(
        key: nil, what: "compares pooled outputs, and the \(whose) has none",
        remedy: "compare states: hidden_mse or hidden_cosine")
    }
    return [LayerPair(student.layers, teacher.layers)]
  }
}
