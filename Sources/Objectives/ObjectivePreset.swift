/// Named recipes of published methods; a chain file can name one instead of listing objectives.
package enum ObjectivePreset: String, Sendable, CaseIterable {
  /// Jiao et al. (2020): first embeddings, hidden states and attention scores, then the predictions.
  case tinybert
  /// Sun et al. (2019): labels, soft targets and the normalised states of first tokens.
  case patient
  /// Sanh et al. (2019): labels, soft targets and the direction of the last hidden states.
  case distilbert
  /// Wang et al. (2021): relations of queries, keys and values in the last layer, with labels and soft targets.
  case minilm

  /// The training stages with names and terms; a method without stages has one unnamed stage.
  package var stages: [(name: String?, terms: [ObjectiveTerm])] {
    func temperature(_ value: Double) -> [String: OptionValue] { ["temperature": .schedule(Scheduled(value))] }
    func term(_ kind: any Objective.Type, _ weight: Double, _ options: [String: OptionValue] = [:]) -> ObjectiveTerm {
      ObjectiveTerm(kind, weight: Scheduled(weight), options)
    }
    switch self {
    case .tinybert:
      return [
        (
          "intermediate",
          [
            term(EmbeddingMSE.self, 1), term(HiddenMSE.self, 1),
            term(AttentionMSE.self, 1, ["of": .word("scores")]),
          ]
        ),
        ("prediction", [term(ForwardKL.self, 1, temperature(1))]),
      ]
    case .patient:
      return [
        (nil, [term(CrossEntropy.self, 0.5), term(ForwardKL.self, 0.5, temperature(5)), term(PatientMSE.self, 100)])
      ]
    case .distilbert:
      return [
        (
          nil,
          [
            term(CrossEntropy.self, 2), term(ForwardKL.self, 5, temperature(2)),
            term(HiddenCosine.self, 1, ["layers": .layers(.last)]),
          ]
        )
      ]
    case .minilm:
      return [
        (nil, [term(CrossEntropy.self, 0.5), term(ForwardKL.self, 0.5, temperature(2)), term(RelationKL.self, 1)])
      ]
    }
  }
}
