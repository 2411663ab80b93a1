import Objectives

/// A list of objectives for each kind there is, with options other than the defaults where it has some: what every kind
/// must hold is tested on all of them.
package enum ObjectiveCases {
  private static func term(
    _ kind: String, _ weight: Double = 0.7, _ options: [String: OptionValue] = [:]
  ) -> ObjectiveTerm? {
    ObjectiveRegistry.kind(kind).map { ObjectiveTerm($0, weight: Scheduled(weight), options) }
  }

  private static func temperature(_ value: Double) -> [String: OptionValue] {
    ["temperature": .schedule(Scheduled(value))]
  }

  /// Terms on logits, which classifiers and language models have.
  package static let onLogits: [ObjectiveTerm] = [
    term("cross_entropy", 1, ["label_smoothing": .number(0.1)]), term("forward_kl", 0.7, temperature(3)),
    term("reverse_kl", 0.7, temperature(1.5)), term("jensen_shannon", 0.7, ["beta": .number(0.3)]),
    term("skew_forward_kl", 0.7, temperature(1)), term("skew_reverse_kl", 0.7, ["skew": .number(0.2)]),
    term("total_variation", 0.7, temperature(1.5)), term("logits_mse"), term("sorted_l1", 0.7, temperature(1.5)),
  ].compactMap { $0 }

  /// Terms on logits that need labels.
  package static let onLabels: [ObjectiveTerm] = [term("decoupled_kl")].compactMap { $0 }

  /// Terms inside the models.
  package static let inner: [ObjectiveTerm] = [
    term("hidden_mse", 0.5, ["layers": .layers(.pairs([LayerPair(0, 0), LayerPair(2, 2)]))]),
    term("hidden_mse", 0.5, ["shared": .flag(true), "average_layers": .flag(true)]),
    term("hidden_cosine", 0.5, ["projection": .word("always")]), term("embedding_mse", 0.5),
    term("patient_mse", 5), term("pooled_mse", 0.5), term("pooled_cosine", 0.5),
    term("similarity_mse", 5), term("attention_mse", 10),
    term("attention_mse", 0.3, ["of": .word("scores")]), term("attention_kl", 1),
    term("relation_kl", 1, ["relation_heads": .count(4)]),
  ].compactMap { $0 }
}
