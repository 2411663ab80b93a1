extension TaskDefinition {
  /// The next token of a document.
  static let languageModeling = TaskDefinition(
    noun: "language modelling", rows: .nextTokens, targets: .nextTokens, output: .classes, head: .languageModel,
    problemType: nil,
    objectives: ("cross_entropy", "forward_kl"), metrics: [.perplexity, .loss], usualLabels: [],
    keys: ["text", "prompt", "documents", "columns"])
}
