import Layers
import Models

/// `hidden_mse` of the embeddings' output only.
struct EmbeddingMSE: RowObjective {
  static let kind = "embedding_mse"
  static let formula = "`hidden_mse` of {0: 0}, the embeddings' output"
  static let source = "Jiao et al. (2020), TinyBERT"
  static let options = [ObjectiveOption.projection]
  static let comparison = RowComparison.squared

  let projection: ProjectionRule?

  init(_ options: ObjectiveOptions) { projection = ProjectionRule(options) }

  var averagesLayers: Bool { false }
  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] { [LayerPair(0, 0)] }
  func point(of layer: Int) -> PassPoint { .states(0) }
}
