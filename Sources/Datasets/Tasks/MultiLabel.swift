extension TaskDefinition {
  /// Any number of labels for a text: topics, emotions.
  static let multiLabel = TaskDefinition(
    noun: "multi-label classification", rows: .examples, targets: .labelSet, output: .labels, head: .sequence,
    problemType: "multi_label_classification", objectives: ("binary_cross_entropy", "bernoulli_kl"),
    metrics: [.microF1, .macroF1, .subsetAccuracy, .loss], usualLabels: ["labels", "label"],
    keys: ["text", "text_pair", "label", "labels", "labels_are", "columns", "threshold"])
}
