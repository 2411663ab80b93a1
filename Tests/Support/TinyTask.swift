import Datasets
import Models
import Platform
import Tensors

/// A small classification task and small models for it, the same for the same seed.
package enum TinyTask {
  /// Sequences of 1 to 12 ids below 40 whose class is whether ids below 20 are in the majority.
  package static func data(_ count: Int, seed: UInt64 = 1) throws -> TokenizedDataset {
    let examples = (0..<count).map { index -> TokenizedExample in
      var random = RandomStream(seed: seed, purpose: "tiny task", UInt64(index))
      let ids = (0..<random.below(12) + 1).map { _ in Int32(random.below(40)) }
      let low = ids.filter { $0 < 20 }.count
      return TokenizedExample(ids: ids, label: 2 * low > ids.count ? 1 : 0)
    }
    return try TokenizedDataset(examples: examples, labels: LabelSet(count: 2))
  }

  /// A BERT of this hidden size and number of layers, with dropout.
  package static func model(hidden: Int, layers: Int, dropout: Double = 0.1, seed: UInt64 = 2) throws -> any Model {
    let configuration = try configuration(hidden: hidden, layers: layers, dropout: dropout)
    return try ModelLoader.load(configuration, from: .random, seed: seed).model
  }

  /// The configuration of such a BERT.
  package static func configuration(hidden: Int, layers: Int, dropout: Double = 0.1) throws -> ModelConfiguration {
    try ModelConfiguration(
      [
        "model_type": "bert", "vocab_size": 40, "hidden_size": .int(hidden), "num_hidden_layers": .int(layers),
        "num_attention_heads": 2, "intermediate_size": .int(2 * hidden), "max_position_embeddings": 16,
        "hidden_dropout_prob": .double(dropout), "attention_probs_dropout_prob": .double(dropout),
        "initializer_range": 0.2, "num_labels": 2,
      ], source: "tiny task")
  }
}
