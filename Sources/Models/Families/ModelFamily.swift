/// A family of models, by its `model_type`.
package struct ModelFamily: Sendable, Hashable, CaseIterable {
  /// What distinguishes the family.
  package let definition: any FamilyDefinition

  init(_ definition: any FamilyDefinition) { self.definition = definition }

  /// The families of Retort.
  package static let allCases: [ModelFamily] = [
    .bert, .bertHash, .roberta, .xlmRoberta, .camembert, .distilbert, .electra, .modernbert, .mpnet,
    .llama, .mistral, .qwen2, .qwen3, .smolLM3, .gpt2, .gemma3, .perceptron,
  ]

  /// The family of a `model_type`; nil for an unknown one.
  package init?(rawValue: String) {
    guard let family = ModelFamily.allCases.first(where: { $0.rawValue == rawValue }) else { return nil }
    self = family
  }

  /// `model_type`.
  package var rawValue: String { definition.name }
  /// Whether its models predict the next token and have a vocabulary instead of classes.
  package var isLanguageModel: Bool { definition.isLanguageModel }

  package static func == (a: ModelFamily, b: ModelFamily) -> Bool { a.rawValue == b.rawValue }
  package func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }
}
