import Autograd
import Layers
import Models
import Tensors

/// `hidden_mse` of the embeddings' output only.
struct EmbeddingMSE: InnerObjective {
  static let kind = "embedding_mse"
  static let formula = "`hidden_mse` of {0: 0}, the embeddings' output"
  static let source = "Jiao et al. (2020), TinyBERT"
  static let options = [ObjectiveOption.projection]

  let projection: ProjectionRule?

  init(_ options: ObjectiveOptions) { projection = ProjectionRule(options) }

  var averagesLayers: Bool { false }
  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] { [LayerPair(0, 0)] }
  func point(of layer: Int) -> PassPoint { .states(0) }
  func denominator(_ counts: StepCounts, student: ModelShape) -> Double { Double(max(1, counts.tokens)) }

  func loss(_ x: Variable, _ target: Tensor, _ pass: InnerPass, factor: Double, on tape: Tape) -> LossTerm {
    scaled(
      tape.compareRows(x, target, .squared, factor: factor / Double(target.columns)), by: 1 / Double(target.columns))
  }
}
