import Datasets
import Models
import Platform
import Tensors

/// A distillation step of fixed shapes, timed on made-up data: the works by which Retort is compared with others.
public struct BenchmarkWork: Sendable, Equatable {
  /// Sizes of one model.
  struct Shape: Equatable {
    let layers: Int
    let hidden: Int
    let heads: Int
    let intermediate: Int
    let vocabulary: Int
  }

  /// Its name on the command line.
  public let name: String
  let teacher: Shape
  let student: Shape

  /// All works, the largest first.
  public static let all: [BenchmarkWork] = [
    BenchmarkWork(name: "bert-large-mini", teacher: large, student: mini),
    BenchmarkWork(name: "bert-base-mini", teacher: base, student: mini),
    BenchmarkWork(name: "bert-mini-tiny", teacher: mini, student: tiny),
  ]

  private static let large = Shape(layers: 24, hidden: 1024, heads: 16, intermediate: 4096, vocabulary: 30522)
  private static let base = Shape(layers: 12, hidden: 768, heads: 12, intermediate: 3072, vocabulary: 30522)
  private static let mini = Shape(layers: 4, hidden: 256, heads: 4, intermediate: 1024, vocabulary: 30522)
  private static let tiny = Shape(layers: 2, hidden: 128, heads: 2, intermediate: 512, vocabulary: 30522)

  /// A model of a shape with two classes and random weights.
  static func model(_ shape: Shape, seed: UInt64) throws -> any Model {
    try ModelLoader.load(configuration(shape), from: .random, seed: seed).model
  }

  /// A model of a shape with two classes.
  static func configuration(_ shape: Shape) throws -> ModelConfiguration {
    try ModelConfiguration(
      [
        "model_type": "bert", "vocab_size": .int(shape.vocabulary), "hidden_size": .int(shape.hidden),
        "num_hidden_layers": .int(shape.layers), "num_attention_heads": .int(shape.heads),
        "intermediate_size": .int(shape.intermediate), "num_labels": 2,
      ], source: "benchmark")
  }

  /// Examples of the given lengths: random ids, random labels.
  func data(lengths: [Int], seed: UInt64) throws -> TokenizedDataset {
    let examples = lengths.enumerated().map { index, length -> TokenizedExample in
      var random = RandomStream(seed: seed, purpose: "benchmark", UInt64(index))
      let ids = (0..<length).map { _ in Int32(1000 + random.below(student.vocabulary - 1000)) }
      return TokenizedExample(ids: ids, label: Int32(random.below(2)))
    }
    return try TokenizedDataset(examples: examples, labels: LabelSet(count: 2))
  }
}
