extension TaskDefinition {
  /// A number for a text or a pair of texts: similarity, relevance.
  static let regression = TaskDefinition(
    noun: "regression", rows: .examples, targets: .score, output: .score, head: .sequence, problemType: "regression",
    objectives: ("score_mse", "logits_mse"), metrics: [.spearman, .pearson, .meanSquaredError, .loss],
    usualLabels: ["score", "label", "labels"],
    keys: ["text", "text_pair", "label", "columns"])
}
