import Autograd
import Datasets
import Foundation
import Layers
import Platform
import Safetensors
import Tensors
import TestSupport
import Testing

@testable import Models

/// A decoder of six query heads in two groups, the same for the same changes.
func tinyDecoder(_ changes: [String: JSON] = [:]) throws -> ModelConfiguration {
  let base: JSON = [
    "model_type": "llama", "vocab_size": 37, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "intermediate_size": 20, "max_position_embeddings": 32, "initializer_range": 0.3,
  ]
  return try ModelConfiguration(base, source: "test").setting(changes)
}

/// The same decoder of another family.
func tinyDecoder(of family: String, _ changes: [String: JSON] = [:]) throws -> ModelConfiguration {
  var keys = try tinyDecoder(changes).json
  keys["model_type"] = .string(family)
  return try ModelConfiguration(.object(keys), source: "test")
}

@Suite(.timeLimit(.minutes(2))) struct DecoderTests {
  private func model(_ configuration: ModelConfiguration, seed: UInt64 = 5) throws -> DecoderModel {
    let model = try DecoderModel(DecoderConfiguration(configuration))
    model.initialize(seed: seed)
    // Zero biases and unit norms would hide mistakes.
    for (index, parameter) in model.parameters.enumerated() where !parameter.decays {
      parameter.value.update(from: randomTensor(parameter.shape, seed: UInt64(index), scale: 0.3))
    }
    return model
  }

  private let sequences: [[Int32]] = [[3, 1, 36, 20, 7], [9], [30, 30, 2, 11, 5, 0, 18]]

  @Test(arguments: [2, 3, 4, 5, 6], ["llama", "smollm3", "gpt2", "gemma3_text"])
  func `shards: sums of their parts are the whole, and their logits stand side by side`(
    shards: Int, family: String
  ) throws {
    let hasBiases = JSON.bool(family == "smollm3")
    let configuration = try tinyDecoder(
      of: family,
      [
        "attention_bias": hasBiases, "mlp_bias": hasBiases, "head_dim": 4, "sliding_window": 3,
        "sliding_window_pattern": 2, "tie_word_embeddings": .bool(family == "gpt2"),
      ])
    let whole = try model(configuration)
    let path = try Shared.temporaryDirectory("shards") + "/model.safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try ModelWriter.writeWeights(whole, to: path)
    let parts = try (0..<shards).map { shard -> DecoderModel in
      let source = WeightOrigin.checkpoint(try SafetensorsFile(path))
      let frozen = try FrozenModel(
        configuration, from: source, seed: 0, precision: .fp32,
        part: ModelPart(stage: 0, of: 1, shard: shard, of: shards))
      frozen.fill(Storage(bytes: frozen.byteCount))
      return try #require(frozen.model as? DecoderModel)
    }
    let (batch, context) = (packed(sequences), ForwardContext.inference())
    let places = TokenPlaces(offsets: batch.offsets, positions: batch.positions)
    func expectSum(_ parts: [Tensor], _ whole: Tensor, _ what: String) {
      for index in 0..<whole.count {
        let sum = parts.reduce(Float(0)) { $0 + $1.floats[index] }
        #expect(abs(sum - whole.floats[index]) < 2e-5, "\(what)")
      }
    }
    let x = whole.embed(batch, context)
    // Every shard adds the embeddings of positions, after the sum of the others.
    if whole.positions == nil { expectSum(parts.map { $0.embed(batch, context).value }, x.value, "embeddings") }
    for (index, layer) in whole.layers.enumerated() {
      let attended = parts.map { $0.layers[index].attention(x, layer: 1, at: places, context).value }
      expectSum(attended, layer.attention(x, layer: 1, at: places, context).value, "attention \(index)")
      let fed = parts.map { $0.layers[index].feedForward(x, context).value }
      expectSum(fed, layer.feedForward(x, context).value, "feed-forward \(index)")
    }
    let logits = whole.headLogits(x, context).value
    #expect(parts.map(\.headRows.count).reduce(0, +) == 37)
    for part in parts {
      let mine = part.headLogits(x, context).value
      for row in 0..<logits.rows {
        let theirs = logits.rows(row..<row + 1).array[part.headRows]
        for (a, b) in zip(mine.rows(row..<row + 1).array, theirs) { #expect(abs(a - b) < 1e-5) }
      }
    }
    if whole.positions != nil { return }
    let weights = parts.map(\.parameterCount)
    #expect(weights.max()! < whole.parameterCount * (shards == 5 ? 3 : 2) / shards)
  }

  @Test(arguments: [
    (ModelPart(stage: 0, of: 1, shard: 0, of: 7), "6 heads cannot be cut into 7 shards"),
    (ModelPart(stage: 8, of: 9), "layers cannot be cut into 9 stages"),
  ])
  func `more shards than heads and more stages than layers are refused, with both numbers`(
    part: ModelPart, text: String
  ) throws {
    let error = #expect(throws: RetortError.self) { try ModelLoader.build(tinyDecoder(), part: part) }
    #expect(error?.kind == .configuration && error!.description.contains(text))
  }

  @Test func `a tied head is the table, also where another stage has the table`() throws {
    let tied = try tinyDecoder(["tie_word_embeddings": true])
    let whole = try model(tied)
    #expect(whole.head === whole.words && whole.lookups.isEmpty)
    #expect(whole.blocks.first!.first === whole.blocks.last!.last)
    #expect(!whole.weightTable.contains { $0.name == "lm_head.weight" })
    let last = try DecoderModel(DecoderConfiguration(tied), part: ModelPart(stage: 1, of: 2))
    #expect(last.weightTable.last!.name == "model.embed_tokens.weight" && last.head.isFactor)
    let untied = try model(tinyDecoder())
    #expect(untied.lookups.map(\.parameter.name) == ["embeddings.words"] && untied.head !== untied.words)
  }

  @Test func `matrices of GPT-2 are stored as transposes, read under older names too, and written back`() throws {
    let configuration = try tinyDecoder(of: "gpt2", ["tie_word_embeddings": true])
    let whole = try model(configuration)
    let root = try Shared.temporaryDirectory("transposed")
    defer { try? FileManager.default.removeItem(atPath: root) }
    try ModelWriter.writeWeights(whole, to: root + "/model.safetensors")
    let file = try SafetensorsFile(root + "/model.safetensors")
    #expect(try file.describe("transformer.h.1.attn.c_attn.weight").shape == [24, 72])
    #expect(try file.describe("transformer.h.1.mlp.c_fc.weight").shape == [24, 20])
    let stored = try file.tensor("transformer.h.1.mlp.c_proj.weight")
    #expect(stored.shape == [20, 24])
    let own = whole.layers[1].feedForward.down.weight.value
    for (index, value) in stored.floats().enumerated() { #expect(value == own.floats[index % 24 * 20 + index / 24]) }
    // The first release has neither the prefix nor a head, but the masks of its attention.
    let names = try file.names.map { ($0, try file.tensor($0)) }
    var writer = try SafetensorsWriter(
      root + "/old.safetensors",
      tensors: names.map { TensorDeclaration(String($0.0.dropFirst("transformer.".count)), .float32, $0.1.shape) }
        + [TensorDeclaration("h.0.attn.bias", .float32, [1, 1, 2, 2])])
    for (name, tensor) in names {
      try writer.append(String(name.dropFirst("transformer.".count)), floats: tensor.floats())
    }
    try writer.append("h.0.attn.bias", floats: [1, 0, 1, 1])
    try writer.finish()
    for name in ["model", "old"] {
      let origin = WeightOrigin.checkpoint(try SafetensorsFile("\(root)/\(name).safetensors"))
      let again = try ModelLoader.load(configuration, from: origin, seed: 0)
      for (a, b) in zip(again.model.parameters, whole.parameters) {
        #expect(a.value.array == b.value.array, "\(a.name)")
      }
      #expect(again.report.warning == nil && again.report.initialized.isEmpty)
    }
  }

  @Test func `parameters of published shapes`() throws {
    func count(_ keys: JSON) throws -> Int {
      try ModelLoader.build(ModelConfiguration(keys, source: "test")).parameterCount
    }
    #expect(try count(["model_type": "llama"]) == 6_738_415_616)
    #expect(
      try count([
        "model_type": "llama", "vocab_size": 128_256, "num_key_value_heads": 8, "intermediate_size": 14_336,
      ]) == 8_030_261_248)
    // Qwen 2 0.5B: biases on queries, keys and values, head tied.
    #expect(
      try count([
        "model_type": "qwen2", "vocab_size": 151_936, "hidden_size": 896, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2, "intermediate_size": 4864, "tie_word_embeddings": true,
      ]) == 494_032_768)
  }

  @Test func `the arithmetic is that of its products, with half of each square of scores`() throws {
    func product(_ m: Int, _ k: Int, _ n: Int) -> Int { 2 * m * k * n }
    var expected = product(8, 24, 37)
    for _ in 0..<3 {
      expected += product(8, 24, (6 + 2 * 2) * 4) + product(8, 24, 24) + product(8, 24, 40) + product(8, 20, 24)
      // Token i of a sequence sees i + 1 keys in each of six heads of size 4.
      for length in [3, 5] { expected += (1...length).reduce(0) { $0 + 6 * (product(1, 4, $1) + product(1, $1, 4)) } }
    }
    let model = try model(tinyDecoder())
    #expect(model.forwardFLOPs(lengths: [3, 5]) == Double(expected))
    let parts = try (0..<2).map {
      try DecoderModel(model.configuration, part: ModelPart(stage: 0, of: 1, shard: $0, of: 2))
    }
    #expect(parts.reduce(0) { $0 + $1.forwardFLOPs(lengths: [3, 5]) } == Double(expected))
  }

  @Test func `a bf16 pass differs by roundings, and its gradients too`() throws {
    let configuration = try tinyDecoder(["hidden_size": 96, "num_attention_heads": 6, "intermediate_size": 64])
    let model = try model(configuration)
    for parameter in model.parameters { parameter.gradient = .zeros(parameter.shape) }
    let batch = packed(sequences)
    func run(_ precision: Precision) -> (logits: [Float], norms: [Double]) {
      model.parameters.forEach { $0.gradient!.fill(0) }
      let tape = Tape(recording: true, precision: precision)
      let logits = model.forward(batch, ForwardContext(tape: tape))
      let targets = batch.tokens.map { ($0 + 5) % 37 }
      tape.backward(from: tape.crossEntropy(logits, labels: targets, denominator: 13).loss)
      return (logits.value.array, model.parameters.map { $0.gradient!.sumOfSquares.squareRoot() })
    }
    let (exact, rounded) = (run(.fp32), run(.bf16))
    let scale = exact.logits.map(abs).max()!
    #expect(exact.logits != rounded.logits)
    for (a, b) in zip(exact.logits, rounded.logits) { #expect(abs(a - b) < 0.04 * scale) }
    for (a, b) in zip(exact.norms, rounded.norms) { #expect(abs(a - b) < 0.1 * a) }
  }

  @Test func `layers of a teacher become a student's`() throws {
    let teacher = try model(tinyDecoder())
    let path = try Shared.temporaryDirectory("layers") + "/model.safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try ModelWriter.writeWeights(teacher, to: path)
    let student = try ModelLoader.load(
      tinyDecoder(["num_hidden_layers": 2]), from: .layers([0, 2], of: SafetensorsFile(path)), seed: 0)
    let own = try #require(student.model as? DecoderModel)
    for (mine, theirs) in zip(own.layers, [teacher.layers[0], teacher.layers[2]]) {
      for (a, b) in zip(mine.parameters, theirs.parameters) { #expect(a.value.array == b.value.array) }
    }
    #expect(own.head.value.array == teacher.head.value.array && student.report == LoadReport())
  }

  @Test func `weights in shards are those in one file`() throws {
    let root = try Shared.temporaryDirectory("shards")
    defer { try? FileManager.default.removeItem(atPath: root) }
    let (configuration, whole) = (try tinyDecoder(), try model(tinyDecoder()))
    let best = root + "/best.safetensors"
    try ModelWriter.writeWeights(whole, to: best)
    let (sharded, single) = (root + "/sharded", root + "/single")
    try ModelWriter.assemble(
      directory: sharded, configuration: configuration, weights: best, tokenizerFiles: [], maxShardBytes: 9000)
    let names = try listDirectory(sharded)
    #expect(!names.contains("model.safetensors") && names.contains("model.safetensors.index.json"))
    #expect(names.filter { $0.hasPrefix("model-0000") }.count > 2)
    let again = try ModelLoader.load(directory: sharded).model
    for (a, b) in zip(again.parameters, whole.parameters) { #expect(a.value.array == b.value.array) }
    try ModelWriter.assemble(directory: single, configuration: configuration, weights: best, tokenizerFiles: [])
    #expect(try openWeights(inModelDirectory: single).files.count == 1)
    #expect(try ModelDigest.ofWeights(directory: single) != ModelDigest.ofWeights(directory: sharded))
    #expect(fileExists(best))
  }
}
