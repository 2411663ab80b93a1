import Datasets
import Models
import Platform
import Tensors

/// A small causal model with a tied head, and documents for it, the same for the same seed.
package enum TinyLanguageModel {
  static let vocabulary = 20

  /// A model of one layer and this hidden size, with weights of the seed that matter from the first step on.
  package static func model(hidden: Int, seed: UInt64 = 2) throws -> DecoderModel {
    let configuration = try ModelConfiguration(
      [
        "model_type": "llama", "vocab_size": .int(vocabulary), "hidden_size": .int(hidden), "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": .int(2 * hidden), "max_position_embeddings": 64,
        "tie_word_embeddings": true, "initializer_range": 0.3,
      ], source: "a test")
    let model = try DecoderModel(DecoderConfiguration(configuration))
    model.initialize(seed: seed)
    return model
  }

  /// Documents of 2 to 40 tokens, each token the one before it plus 1, 2 or 3; packed into rows of `rowLength`.
  package static func documents(_ count: Int, rowLength: Int, seed: UInt64 = 1) throws -> PackedDocuments {
    let examples = (0..<count).map { index -> TokenizedExample in
      var random = RandomStream(seed: seed, purpose: "tiny documents", UInt64(index))
      var ids = [Int32(random.below(vocabulary))]
      for _ in 0..<random.below(39) + 1 { ids.append((ids[ids.count - 1] + 1 + Int32(random.below(3))) % 20) }
      return TokenizedExample(ids: ids, promptTokens: index % 5 == 4 ? 3 : 0)
    }
    return try PackedDocuments(TokenizedDataset(examples: examples, kind: .languageModeling), rowLength: rowLength)
  }
}
