import Datasets
import Foundation
import Platform
import Safetensors
import Tensors
import TestSupport
import Testing

@testable import Models

/// A tiny configuration of a family.
func tinyConfiguration(_ changes: [String: JSON] = [:]) throws -> ModelConfiguration {
  let base: JSON = [
    "model_type": "bert", "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 12, "auto_map": ["AutoModel": "somewhere--kept"],
  ]
  return try ModelConfiguration(base, source: "test").setting(changes)
}

@Suite(.timeLimit(.minutes(1))) struct ModelLoaderTests {
  /// A model directory on disk; `rename` changes the tensor names, nil leaves a tensor out.
  func directory(
    _ configuration: ModelConfiguration, extra: [String] = [], rename: (String) -> String? = { $0 }
  ) throws -> String {
    let path = try Shared.temporaryDirectory("model")
    let loaded = try ModelLoader.load(configuration, from: .random, seed: 3)
    let kept = loaded.model.weightTable.compactMap { binding in rename(binding.name).map { ($0, binding) } }
    var writer = try SafetensorsWriter(
      path + "/model.safetensors",
      tensors: kept.map { TensorDeclaration($0, .float32, $1.shape.array) }
        + extra.map { TensorDeclaration($0, .float32, [2]) })
    for (name, binding) in kept { try writer.append(name, floats: binding.tensor.array) }
    for name in extra { try writer.append(name, floats: [1, 2]) }
    try writer.finish()
    try writeFileAtomically(path + "/config.json", JSON.object(configuration.json).text())
    return path
  }

  @Test func `parameter counts of the published bert_hash shapes, with pooler and without classifier`() throws {
    for (hidden, intermediate, projections, count) in [
      (50, 200, 5, 242_560), (80, 320, 8, 448_336), (128, 512, 16, 969_632),
    ] {
      let configuration = try ModelConfiguration(
        [
          "model_type": "bert_hash", "hidden_size": .int(hidden), "intermediate_size": .int(intermediate),
          "num_hidden_layers": 2, "num_attention_heads": 2, "projections": .int(projections),
        ], source: "test")
      #expect(try ModelLoader.build(configuration).parameterCount - (2 * hidden + 2) == count)
    }
  }

  @Test func `a bare encoder without prefix gets a new classifier, and says so`() throws {
    let path = try directory(
      tinyConfiguration(), extra: ["cls.predictions.bias", "embeddings.position_ids"],
      rename: { $0.hasPrefix("classifier") ? nil : String($0.dropFirst("bert.".count)) })
    defer { try? FileManager.default.removeItem(atPath: path) }
    let loaded = try ModelLoader.load(
      directory: path, for: .student(head: .fitting), task: .classification, labels: LabelNames(["a", "b", "c"]))
    #expect(loaded.model.classCount == 3)
    #expect(loaded.report.initialized == ["classifier.bias", "classifier.weight"])
    #expect(loaded.report.ignored == ["embeddings.position_ids"] && loaded.report.warning == nil)
    #expect(loaded.report.summary!.contains("classifier.weight"))
  }

  @Test func `norms called gamma and beta are found`() throws {
    let path = try directory(
      tinyConfiguration(),
      rename: { name in
        guard name.contains("LayerNorm") else { return name }
        return name.replacingOccurrences(of: ".weight", with: ".gamma").replacingOccurrences(of: ".bias", with: ".beta")
      })
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(try ModelLoader.load(directory: path).report == LoadReport())
  }

  @Test func `a shape that does not fit names the tensor and both shapes`() throws {
    let path = try directory(tinyConfiguration())
    defer { try? FileManager.default.removeItem(atPath: path) }
    try writeFileAtomically(
      path + "/config.json", JSON.object(tinyConfiguration(["intermediate_size": 20]).json).text())
    let error = #expect(throws: RetortError.self) { try ModelLoader.load(directory: path) }
    #expect(error?.kind == .input)
    for part in ["bert.encoder.layer.0.intermediate.dense.weight", "[16, 8]", "[20, 8]"] {
      #expect(error!.description.contains(part))
    }
  }

  @Test func `a missing encoder tensor is refused by name`() throws {
    let path = try directory(tinyConfiguration(), rename: { $0.contains("layer.1.output.dense.bias") ? nil : $0 })
    defer { try? FileManager.default.removeItem(atPath: path) }
    let error = #expect(throws: RetortError.self) { try ModelLoader.load(directory: path) }
    #expect(error!.description.contains("bert.encoder.layer.1.output.dense.bias"))
  }

  @Test(
    arguments: [
      ["hidden_size": 9], ["num_attention_heads": 0], ["hidden_act": "mystery"], ["hidden_dropout_prob": 2],
      ["vocab_size": "many"], ["position_embedding_type": "relative_key"], ["is_decoder": true],
      ["hidden_size": 1e30],
    ] as [[String: JSON]])
  func `a senseless configuration is refused, not trapped on`(changes: [String: JSON]) throws {
    let configuration = try tinyConfiguration(changes)
    let error = #expect(throws: RetortError.self) { try ModelLoader.build(configuration) }
    #expect(error?.kind == .input)
    #expect(error!.description.contains(changes.keys.first!) || changes["hidden_size"] == 9)
  }

  @Test func `layers of a teacher become the student's, everything else is taken as it is`() throws {
    let teacher = try ModelLoader.load(tinyConfiguration(["num_hidden_layers": 4]), from: .random, seed: 5)
    let path = try directory(tinyConfiguration(["num_hidden_layers": 4]))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let source = try openWeights(inModelDirectory: path)
    let student = try ModelLoader.load(tinyConfiguration(), from: .layers([1, 3], of: source), seed: 1)
    let theirs = Dictionary(uniqueKeysWithValues: try source.names.map { ($0, try source.tensor($0).floats()) })
    for binding in student.model.weightTable {
      let name = binding.name.replacingOccurrences(of: "layer.1.", with: "layer.3.")
        .replacingOccurrences(of: "layer.0.", with: "layer.1.")
      #expect(binding.tensor.array == theirs[name])
    }
    #expect(teacher.model.parameterCount > student.model.parameterCount)
  }

  @Test func `initial weights depend on seed and name alone`() throws {
    func weights(_ seed: UInt64) throws -> [Float] {
      try ModelLoader.load(tinyConfiguration(), from: .random, seed: seed).model.weightTable.flatMap(\.tensor.array)
    }
    #expect(try weights(1) == weights(1))
    #expect(try weights(1) != weights(2))
  }

  @Test func `a written directory has the base's own keys, the classes, and reads back the same`() throws {
    let path = try Shared.temporaryDirectory("written")
    defer { try? FileManager.default.removeItem(atPath: path) }
    let configuration = try tinyConfiguration().with(labels: LabelNames(["no", "yes"]))
    let loaded = try ModelLoader.load(configuration, from: .random, seed: 3)
    try ModelWriter.writeWeights(loaded.model, to: path + "/best.safetensors")
    try ModelWriter.assemble(
      directory: path + "/out", configuration: configuration, weights: path + "/best.safetensors", tokenizerFiles: [])
    let again = try ModelLoader.load(directory: path + "/out")
    #expect(again.configuration.json["auto_map"] == ["AutoModel": "somewhere--kept"])
    #expect(again.configuration.json["architectures"] == ["BertForSequenceClassification"])
    #expect(again.labels.names == ["no", "yes"])
    #expect(again.model.weightTable.map(\.tensor.array) == loaded.model.weightTable.map(\.tensor.array))
  }
}

@Suite(.timeLimit(.minutes(1))) struct PackingTests {
  @Test func `a sequence has the same logits alone and packed with others`() throws {
    let model = try ModelLoader.load(tinyConfiguration(), from: .random, seed: 3).model
    let sequences: [[Int32]] = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10]]
    let together = model.logits(packed(sequences))
    for (index, sequence) in sequences.enumerated() {
      let alone = model.logits(packed([sequence]))
      for (a, b) in zip(alone.array, together.rows(index..<index + 1).array) { #expect(abs(a - b) < 1e-6) }
    }
  }

  @Test func `an unprepared perceptron and a standardised one are affine twins`() throws {
    let configuration = try ModelConfiguration(
      ["model_type": "perceptron", "input_size": 2, "hidden_sizes": [], "num_labels": 3], source: "test")
    let model = try ModelLoader.load(configuration, from: .random, seed: 1).model as! Perceptron
    var batch = Batch()
    (batch.features, batch.featureCount) = ([1, 2, 3, 4], 2)
    (batch.labels, batch.samples, batch.offsets) = ([0, 1], [0, 1], [0, 0, 0])
    let plain = model.logits(batch).array
    model.standardize(means: [1, 1], deviations: [2, 0])
    batch.features = [3, 3, 7, 5]  // (x − 1)/2 and (x − 1)/1 are the numbers from before
    for (a, b) in zip(plain, model.logits(batch).array) { #expect(abs(a - b) < 1e-5) }
  }
}
