extension TaskDefinition {
  /// One class for a text, or for a pair of texts.
  static let classification = TaskDefinition(
    noun: "classification", rows: .examples, targets: .classes, output: .classes, head: .sequence,
    problemType: "single_label_classification", objectives: ("cross_entropy", "forward_kl"),
    metrics: [.accuracy, .f1, .matthews, .loss], usualLabels: ["label", "labels"],
    keys: ["text", "text_pair", "label", "labels", "labels_are", "columns"])

  /// One class for a row of numbers.
  static let features = TaskDefinition(
    noun: "classification", rows: .examples, targets: .classes, output: .classes, head: .perceptron,
    problemType: "single_label_classification", objectives: ("cross_entropy", "forward_kl"),
    metrics: [.accuracy, .f1, .matthews, .loss], usualLabels: ["label", "labels"],
    keys: ["features", "label", "labels", "labels_are", "columns"])
}
