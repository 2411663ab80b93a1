extension TaskDefinition {
  /// One class for each word of a text: entities, parts of speech.
  static let tokenClassification = TaskDefinition(
    noun: "token classification", rows: .tokens, targets: .classes, output: .classes, head: .token, problemType: nil,
    objectives: ("cross_entropy", "forward_kl"),
    metrics: [.entityF1, .entityPrecision, .entityRecall, .accuracy, .loss],
    usualLabels: ["tags", "ner_tags", "labels", "entities"],
    keys: ["tokens", "text", "label", "labels", "labels_are", "subwords", "stride"])
}
