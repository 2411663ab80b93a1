import CKernels
import Datasets

/// The mean squared difference of raw logits, without softmax and temperature.
struct LogitsMSE: Divergence {
  static let kind = "logits_mse"
  static let formula = "mean over classes of (s − t)²"
  static let source = "Ba and Caruana (2014)"
  static let options: [ObjectiveOption] = []
  static let allowsTopK = false
  static let comparesProbabilities = false
  static let outputs: Set<TaskDefinition.Output> = [.classes, .labels, .score]
  static let kernel = RTK_LOGITS_MSE
  static let power = 0

  init(_ options: ObjectiveOptions) {}

  var temperature: Scheduled { Scheduled(1) }
}
