import Datasets
import Safetensors

/// Multilayer perceptrons over numeric columns, a family of Retort's own.
struct PerceptronFamily: FamilyDefinition {
  let name = "perceptron"
  let architecture = "Perceptron"
  let isLanguageModel = false
  let heads: Set<TaskDefinition.Head> = [.perceptron]
  let usualHead = TaskDefinition.Head.perceptron
  let layerMarker = "layers."
  let anchors = ["layers.0.weight"]

  /// Its last layer is no head that could be another one.
  func head(ofTensorsIn source: any WeightSource) -> CheckpointHead { .none }

  func sizes(_ configuration: ModelConfiguration) throws -> any ModelSizes {
    try PerceptronConfiguration(configuration)
  }
}

extension ModelFamily {
  /// `perceptron`.
  package static let perceptron = ModelFamily(PerceptronFamily())
}
