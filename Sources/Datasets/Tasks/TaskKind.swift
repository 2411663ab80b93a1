/// The kind of a task: what its examples are, and what a model says of them.
///
/// The name is that of `task.kind` in a chain file. What a kind means is in its `TaskDefinition`, one file a kind.
package enum TaskKind: String, Sendable, CaseIterable {
  /// Token sequences, each with a class.
  case classification
  /// Token sequences with a class for each word.
  case tokenClassification = "token_classification"
  /// Token sequences, each with a number.
  case regression
  /// Token sequences, each with any number of labels.
  case multiLabel = "multi_label"
  /// Token sequences, alone or in pairs, each with a vector.
  case embedding
  /// Rows of numbers, each with a class.
  case features
  /// Documents; every token but the first is predicted.
  case languageModeling = "language_modeling"

  /// What the kind means.
  package var definition: TaskDefinition {
    switch self {
    case .classification: .classification
    case .tokenClassification: .tokenClassification
    case .regression: .regression
    case .multiLabel: .multiLabel
    case .embedding: .embedding
    case .features: .features
    case .languageModeling: .languageModeling
    }
  }
}
