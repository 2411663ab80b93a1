extension TaskDefinition {
  /// A vector for a text; the vectors of a pair's two texts are compared.
  static let embedding = TaskDefinition(
    noun: "sentence embedding", rows: .sequences, targets: .similarity, output: .vector, head: .pooler,
    problemType: nil, objectives: (nil, "pooled_cosine"), metrics: [.spearman, .pearson],
    usualLabels: ["score", "similarity"],
    keys: ["text", "text_pair", "label", "columns", "pooling", "normalize", "stride"])
}

/// How the states of a sequence become its vector.
package enum PoolingMode: String, Sendable, CaseIterable {
  /// The mean of the states of all its tokens.
  case mean
  /// The state of its first token.
  case cls
}
