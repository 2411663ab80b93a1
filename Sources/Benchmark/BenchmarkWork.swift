import Datasets
import Models
import Platform
import Tensors

/// An optimizer step of fixed shapes, with a teacher or without, timed on random data; Retort is compared with other
/// programs on these.
package struct BenchmarkWork: Sendable, Equatable {
  /// The kind of the models.
  enum Kind: Equatable {
    /// Encoders of a family with two classes.
    case classifier(family: ModelFamily)
    /// BERT encoders with one of nine classes for each token, as the tags of four types of entities.
    case tagger
    /// Causal decoders with tied heads.
    case decoder
  }

  /// Sizes of one model.
  struct Shape: Equatable {
    let layers: Int
    let hidden: Int
    let heads: Int
    let intermediate: Int
    let vocabulary: Int
  }

  /// Its name on the command line.
  package let name: String
  let kind: Kind
  /// nil for a student that is trained on the data alone.
  let teacher: Shape?
  let student: Shape

  /// All works, the largest first.
  package static let all: [BenchmarkWork] = [
    BenchmarkWork(name: "bert-large-mini", kind: .classifier(family: .bert), teacher: large, student: mini),
    BenchmarkWork(name: "bert-base-mini", kind: .classifier(family: .bert), teacher: base, student: mini),
    BenchmarkWork(name: "bert-base-mini-tags", kind: .tagger, teacher: base, student: mini),
    BenchmarkWork(name: "bert-mini-tiny", kind: .classifier(family: .bert), teacher: mini, student: tiny),
    BenchmarkWork(name: "minilm-finetune", kind: .classifier(family: .bert), teacher: nil, student: miniLM),
    BenchmarkWork(
      name: "minilm-l6-l3", kind: .classifier(family: .bert), teacher: miniLM,
      student: Shape(layers: 3, hidden: 384, heads: 12, intermediate: 1536, vocabulary: 30522)),
    BenchmarkWork(
      name: "roberta", kind: .classifier(family: .roberta),
      teacher: Shape(layers: 12, hidden: 768, heads: 12, intermediate: 3072, vocabulary: 50265),
      student: Shape(layers: 4, hidden: 256, heads: 4, intermediate: 1024, vocabulary: 50265)),
    BenchmarkWork(
      name: "modernbert", kind: .classifier(family: .modernbert),
      teacher: Shape(layers: 22, hidden: 768, heads: 12, intermediate: 1152, vocabulary: 50368),
      student: Shape(layers: 4, hidden: 256, heads: 4, intermediate: 384, vocabulary: 50368)),
    BenchmarkWork(
      name: "llama-110m-15m", kind: .decoder,
      teacher: Shape(layers: 12, hidden: 768, heads: 12, intermediate: 2048, vocabulary: 32000),
      student: llama15M),
    BenchmarkWork(name: "llama-15m-train", kind: .decoder, teacher: nil, student: llama15M),
  ]

  /// The classes of a tagger: O, and B and I of four types.
  private static let tags = 9

  private static let large = Shape(layers: 24, hidden: 1024, heads: 16, intermediate: 4096, vocabulary: 30522)
  private static let base = Shape(layers: 12, hidden: 768, heads: 12, intermediate: 3072, vocabulary: 30522)
  private static let mini = Shape(layers: 4, hidden: 256, heads: 4, intermediate: 1024, vocabulary: 30522)
  private static let tiny = Shape(layers: 2, hidden: 128, heads: 2, intermediate: 512, vocabulary: 30522)
  private static let miniLM = Shape(layers: 6, hidden: 384, heads: 12, intermediate: 1536, vocabulary: 30522)
  private static let llama15M = Shape(layers: 6, hidden: 288, heads: 6, intermediate: 768, vocabulary: 32000)

  /// A model with a shape and random weights.
  func model(_ shape: Shape, seed: UInt64) throws -> any Model {
    try ModelLoader.load(configuration(shape), from: .random, seed: seed).model
  }

  /// The configuration for a shape.
  func configuration(_ shape: Shape) throws -> ModelConfiguration {
    var keys: [String: JSON] = [
      "vocab_size": .int(shape.vocabulary), "hidden_size": .int(shape.hidden),
      "num_hidden_layers": .int(shape.layers), "num_attention_heads": .int(shape.heads),
      "intermediate_size": .int(shape.intermediate),
    ]
    switch kind {
    case .classifier(let family):
      keys["model_type"] = .string(family.rawValue)
      keys["num_labels"] = 2
      // RoBERTa's positions begin after the padding token's.
      if family == .roberta { keys["max_position_embeddings"] = 514 }
    case .tagger:
      keys["model_type"] = "bert"
      keys["architectures"] = ["BertForTokenClassification"]
      keys["num_labels"] = .int(BenchmarkWork.tags)
    case .decoder:
      keys["model_type"] = "llama"
      keys["tie_word_embeddings"] = true
      keys["max_position_embeddings"] = 4096
    }
    return try ModelConfiguration(.object(keys), source: "benchmark")
  }

  /// Examples of the given lengths: random ids with random labels, for taggers of each token, for decoders a document
  /// each, of at least two tokens, since a single token predicts nothing.
  func data(lengths: [Int], seed: UInt64) throws -> any ExampleSource {
    let examples = lengths.enumerated().map { index, length -> TokenizedExample in
      var random = RandomStream(seed: seed, purpose: "benchmark", UInt64(index))
      let count = max(length, kind == .decoder ? 2 : 1)
      let ids = (0..<count).map { _ in Int32(1000 + random.below(student.vocabulary - 1000)) }
      if kind == .tagger {
        return TokenizedExample(ids: ids, targets: ids.map { _ in Int32(random.below(BenchmarkWork.tags)) })
      }
      return TokenizedExample(ids: ids, label: Int32(random.below(2)))
    }
    switch kind {
    case .classifier: return try TokenizedDataset(examples: examples, labels: LabelSet(count: 2))
    case .tagger:
      return try TokenizedDataset(
        examples: examples, kind: .tokenClassification, labels: LabelSet(count: BenchmarkWork.tags))
    case .decoder:
      return try PackedDocuments(
        TokenizedDataset(examples: examples, kind: .languageModeling), rowLength: nil, joins: false)
    }
  }
}
