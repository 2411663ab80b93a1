import Autograd
import Datasets
import Platform
import Tensors
import TestSupport
import Testing

@testable import Models

/// Models whose weights lie in one block of memory.
@Suite(.timeLimit(.minutes(2))) struct FrozenModelTests {
  func block(_ frozen: FrozenModel) -> Storage { Storage(untouchedZeros: frozen.byteCount) }

  @Test(arguments: [16, 50, 64], [Precision.fp32, .bf16])
  func `a filled block and a block that was adopted give the logits of the loaded model`(
    hidden: Int, precision: Precision
  ) throws {
    let configuration = try TinyTask.configuration(hidden: hidden, layers: 2)
    let batch = try TinyTask.data(9).batch(Array(0..<9))
    func frozen() throws -> FrozenModel {
      try FrozenModel(configuration, from: .random, seed: 7, precision: precision)
    }
    func logits(_ model: any Model) -> [Float] {
      model.logits(batch, precision: precision, independentRows: true).array
    }
    let loaded = try ModelLoader.load(configuration, from: .random, seed: 7).model
    let want = logits(loaded)
    let (first, second) = (try frozen(), try frozen())
    let memory = block(first)
    first.fill(memory)
    #expect(logits(first.model) == want)
    second.adopt(memory)
    #expect(logits(second.model) == want)
    #expect(first.form == second.form && first.byteCount % 64 == 0)
    #expect(first.model.parameters.allSatisfy { $0.value.storage === memory })
    loaded.freeze(for: precision)
    #expect(logits(loaded) == want)
  }

  @Test func `only the matrices of products are rounded, and those below 16 inputs or outputs are not`() throws {
    let configuration = try TinyTask.configuration(hidden: 64, layers: 1)
    let frozen = try FrozenModel(configuration, from: .random, seed: 1, precision: .bf16)
    frozen.fill(block(frozen))
    let rounded = frozen.model.parameters.filter { $0.value.dtype == .bfloat16 }.map(\.name)
    #expect(
      rounded == [
        "layers.0.attention.projection.weight", "layers.0.attention.output.weight", "layers.0.intermediate.weight",
        "layers.0.output.weight", "pooler.weight",
      ])
    let exact = try FrozenModel(configuration, from: .random, seed: 1, precision: .fp32)
    #expect(exact.byteCount > frozen.byteCount && exact.form != frozen.form)
  }

  @Test func `what a perceptron stores besides its weights comes along`() throws {
    let configuration = try ModelConfiguration(
      ["model_type": "perceptron", "input_size": 3, "hidden_sizes": [8], "num_labels": 2], source: "test")
    let trained = try ModelLoader.load(configuration, from: .random, seed: 1).model
    (trained as? Perceptron)?.standardize(means: [1, 2, 3], deviations: [2, 4, 8])
    let path = try Shared.temporaryDirectory("perceptron")
    try ModelWriter.writeWeights(trained, to: path + "/model.safetensors")
    try writeFileAtomically(path + "/config.json", JSON.object(configuration.json).text())
    var batch = Batch()
    (batch.features, batch.featureCount, batch.samples) = ([1, 5, 2, 7, 3, 1], 3, [0, 1])
    let want = trained.logits(batch).array
    let first = try FrozenModel(directory: path, labels: nil, precision: .bf16)
    let memory = block(first)
    first.fill(memory)
    #expect(first.model.logits(batch).array == want)
    let second = try FrozenModel(directory: path, labels: nil, precision: .bf16)
    second.adopt(memory)
    #expect(second.model.logits(batch).array == want)
  }
}
