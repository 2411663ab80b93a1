/// The metrics by which models are compared; `EvaluationResult` computes them.
package enum Metric: String, Sendable, CaseIterable {
  /// Correct / count; of a tagger over its words.
  case accuracy
  /// F1 of class 1 for two classes, the mean of the classes' F1 for more.
  case f1
  /// Matthews' correlation coefficient, in Gorodkin's form for any number of classes (2004).
  case matthews = "matthews_correlation"
  /// F1 of whole entities, as conlleval counts them (Tjong Kim Sang and Buchholz, 2000).
  case entityF1 = "entity_f1"
  /// Correct entities / predicted entities.
  case entityPrecision = "entity_precision"
  /// Correct entities / entities of the data.
  case entityRecall = "entity_recall"
  /// The correlation of scores and targets.
  case pearson
  /// The correlation of their ranks.
  case spearman
  /// The mean squared difference of scores and targets; lower is better.
  case meanSquaredError = "mse"
  /// F1 over all labels of all examples together.
  case microF1 = "micro_f1"
  /// The mean of the labels' F1.
  case macroF1 = "macro_f1"
  /// The share of examples whose labels are all correct.
  case subsetAccuracy = "subset_accuracy"
  /// The mean of the loss with the targets: cross-entropy, squared difference, binary cross-entropy; lower is better.
  case loss
  /// exp(mean cross-entropy) over the predicted tokens of documents; lower is better.
  case perplexity

  /// Whether a is better than b.
  package func isBetter(_ a: Double, than b: Double) -> Bool { b.isNaN || (isLowerBetter ? a < b : a > b) }

  /// Whether lower values are better.
  package var isLowerBetter: Bool { self == .loss || self == .perplexity || self == .meanSquaredError }

  /// Whether the metric is defined for tasks of this kind.
  package func applies(to kind: TaskKind) -> Bool { kind.definition.metrics.contains(self) }
}
