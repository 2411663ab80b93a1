import Foundation
import Models
import Planner
import Platform
import Testing

@testable import Chains

@Suite struct ChainCostTests {
  private let directory: String

  init() throws {
    directory = NSTemporaryDirectory() + "chain-cost-\(UUID().uuidString)"
    try write("bert/config.json", ChainCostTests.bert)
  }

  static let bert = """
    {"model_type": "bert", "vocab_size": 500, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, \
    "intermediate_size": 96, "max_position_embeddings": 80}
    """

  private func write(_ name: String, _ text: String) throws {
    let path = directory + "/" + name
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try text.write(toFile: path, atomically: true, encoding: .utf8)
  }

  private func cost(_ steps: String, task: String = "sst2", on cluster: Cluster? = nil) throws -> ChainCost {
    let text = """
      distillation_chain:
        metadata: {dataset: nowhere, task: \(task), max_length: 128}
        steps:
      \(steps)
      """
    let file = directory + "/chain.yaml"
    return try ChainCost(
      ChainConfiguration(parsing: text, file: file),
      on: cluster ?? Cluster(parsing: ClusterDescriptionTests.whole, file: "c.yaml"),
      locator: ModelLocator(chainFile: file, environment: [:], workingDirectory: directory), assuming: .init())
  }

  @Test func `config.json alone is enough, and later steps know earlier students`() throws {
    let cost = try cost(
      """
          - {step_id: one, teacher: bert, student_base: {family: bert}, student_init: {from: teacher, layers: [0, 2]}, output_dir: a}
          - {student_base: {family: bert_hash, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2}, output_dir: b}
      """)
    #expect(cost.steps[0].work.teacher?.layerCount == 3 && cost.steps[0].work.student.layerCount == 2)
    #expect(cost.steps[1].work.teacher?.layerCount == 2 && cost.steps[1].work.student.hiddenSize == 32)
    // Neither model has 128 positions.
    #expect(cost.steps[0].work.load.length == 80)
  }

  @Test func `sizes agree with the models that are built from them`() throws {
    let configurations: [String] = [
      ChainCostTests.bert,
      """
      {"model_type": "bert_hash", "vocab_size": 300, "hidden_size": 48, "num_hidden_layers": 2, \
      "num_attention_heads": 4, "intermediate_size": 80, "projections": 5}
      """,
      """
      {"model_type": "llama", "vocab_size": 120, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 6, \
      "num_key_value_heads": 2, "intermediate_size": 80, "tie_word_embeddings": true, "head_dim": 16}
      """,
      """
      {"model_type": "llama", "vocab_size": 120, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, \
      "intermediate_size": 80, "attention_bias": true, "mlp_bias": true}
      """,
      """
      {"model_type": "qwen2", "vocab_size": 120, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, \
      "intermediate_size": 80}
      """,
      """
      {"model_type": "mpnet", "vocab_size": 300, "hidden_size": 48, "num_hidden_layers": 3, \
      "num_attention_heads": 4, "intermediate_size": 80}
      """,
      """
      {"model_type": "modernbert", "vocab_size": 300, "hidden_size": 48, "num_hidden_layers": 4, \
      "num_attention_heads": 4, "intermediate_size": 80, "local_attention": 8}
      """,
      """
      {"model_type": "modernbert", "vocab_size": 300, "hidden_size": 48, "num_hidden_layers": 3, \
      "num_attention_heads": 4, "intermediate_size": 80, "norm_bias": true, "mlp_bias": true, "attention_bias": true, \
      "classifier_bias": true, "classifier_pooling": "mean"}
      """,
      """
      {"model_type": "perceptron", "input_size": 7, "hidden_sizes": [33, 20]}
      """,
    ]
    for text in configurations {
      let configuration = try ModelConfiguration(JSON(parsing: text), source: "config.json")
      let model = try ModelLoader.build(configuration)
      let sizes = try plannedNetwork(configuration, classes: nil)
      #expect(sizes.tensors.map(\.count) == model.parameters.map(\.count), "\(sizes.name)")
      #expect(sizes.parameterCount == model.parameterCount)
      #expect(sizes.lookupCount == model.lookups.reduce(0) { $0 + $1.parameter.count })
      for (sequences, length) in [(1, 1), (3, 17), (8, 64)] {
        let load = TokenLoad(sequences: sequences, length: length)
        let built = model.forwardFLOPs(lengths: Array(repeating: length, count: sequences))
        #expect(abs(sizes.forwardFLOPs(load) - built) <= 1e-9 * built, "\(sizes.name)")
      }
    }
  }

  @Test func `a step that fits nowhere is refused with figure and remedy`() throws {
    var tiny = try Cluster(parsing: ClusterDescriptionTests.whole, file: "c.yaml")
    tiny.memory = 1e8
    let step = "    - {teacher: bert, student_base: bert, output_dir: a}"
    let error = try #require(throws: RetortError.self) { try cost(step, on: tiny).requireFit() }
    #expect(error.kind == .preflight && error.what.contains("fits in no layout"))
    #expect(error.what.contains("of which 0.1 GB are usable") && error.remedy?.contains("nodes of") == true)
    try cost(step).requireFit()
  }

  @Test func `a teacher far larger than the student is advised against`() throws {
    let cost = try cost(
      """
          - {teacher: bert, student_base: {family: bert, vocab_size: 50, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 1, intermediate_size: 8, max_position_embeddings: 80}, output_dir: a}
      """)
    #expect(cost.warnings.contains { $0.contains("times the student's parameters") })
  }

  @Test func `what is found nowhere is refused as in a run`() throws {
    let error = try #require(throws: RetortError.self) {
      try cost("    - {teacher: gone, student_base: bert, output_dir: a}")
    }
    #expect(error.kind == .input && error.description.contains("no model directory \"gone\""))
  }
}
