import Models
import Platform
import TestSupport
import Testing

@Suite struct ArithmeticTests {
  private func model(_ keys: [String: JSON]) throws -> any Model {
    try ModelLoader.load(ModelConfiguration(.object(keys), source: "test"), from: .random, seed: 1).model
  }

  /// 2·m·n·k.
  private func product(_ m: Int, _ k: Int, _ n: Int) -> Int { 2 * m * k * n }

  private let bert: [String: JSON] = [
    "model_type": "bert", "vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 12, "max_position_embeddings": 16, "num_labels": 3,
  ]

  @Test func `BERT's arithmetic is that of its products, one after the other`() throws {
    let lengths = [3, 5]
    var expected = 0
    // The last layer goes on with the first token of each of two sequences.
    for rows in [8, 2] {
      expected += product(8, 8, 24) + product(rows, 8, 8)  // queries, keys and values; output
      expected += product(rows, 8, 12) + product(rows, 12, 8)  // feed-forward, there and back
      // Two heads of size 4: scores [S, 4]·[4, S], then [S, S]·[S, 4].
      for length in lengths { expected += 2 * (product(length, 4, length) + product(length, length, 4)) }
    }
    expected += product(2, 8, 8) + product(2, 8, 3)  // pooler and classifier, a row a sequence
    #expect(expected == 13792)
    #expect(try model(bert).forwardFLOPs(lengths: lengths) == Double(expected))
  }

  @Test func `a narrow word embedding adds the product that widens it`() throws {
    let plain = try model(bert).forwardFLOPs(lengths: [7])
    let keys = bert.merging(["model_type": "bert_hash", "projections": 5]) { _, new in new }
    #expect(try model(keys).forwardFLOPs(lengths: [7]) == plain + Double(product(7, 5, 8)))
  }

  @Test func `a perceptron's arithmetic is that of its layers for each row`() throws {
    let keys: [String: JSON] = ["model_type": "perceptron", "input_size": 3, "hidden_sizes": [5, 4], "num_labels": 2]
    let rows = 2
    let expected = product(rows, 3, 5) + product(rows, 5, 4) + product(rows, 4, 2)
    #expect(expected == 172)
    #expect(try model(keys).forwardFLOPs(lengths: [0, 0]) == Double(expected))
  }

  @Test func `arithmetic is additive over examples, so any split of a batch counts the same`() throws {
    let model = try model(bert)
    let parts = try [[4, 9], [1]].map { model.forwardFLOPs(lengths: $0) }
    #expect(model.forwardFLOPs(lengths: [4, 9, 1]) == parts[0] + parts[1])
    #expect(model.forwardFLOPs(lengths: []) == 0)
  }
}
