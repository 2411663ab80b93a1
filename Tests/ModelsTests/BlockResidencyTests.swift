import Autograd
import Layers
import Tensors
import TestSupport
import Testing

@testable import Models

/// Spoils the weights of every block that the pass is not in, and notes where it goes.
private final class Spoiler: TapeObserver {
  let releasesWeights = true
  let blocks: [[Parameter]]
  let weights = BF16Weights()
  private let kept: [ObjectIdentifier: Tensor]
  var visits: [String] = []

  init(_ blocks: [[Parameter]]) {
    self.blocks = blocks
    kept = Dictionary(blocks.joined().map { (ObjectIdentifier($0), $0.value.copy()) }) { first, _ in first }
    for block in blocks.indices { spoil(block) }
  }

  private func spoil(_ block: Int) {
    for parameter in blocks[block] { parameter.value = Tensor(repeating: .nan, parameter.shape) }
    weights.forget(blocks[block])
  }

  func enter(_ block: Int, _ direction: PassDirection) {
    visits.append("\(direction == .forward ? "+" : "-")\(block)")
    for parameter in blocks[block] { parameter.value = kept[ObjectIdentifier(parameter)]!.copy() }
  }

  func leave(_ block: Int, _ direction: PassDirection) {
    for parameter in blocks[block] { parameter.value.fill(.nan) }
    spoil(block)
  }

}

/// Between the borders of blocks nobody reads a weight.
@Suite struct BlockResidencyTests {
  private func gradients(
    _ model: any Model, _ precision: Precision, checkpoints: Range<Int>, _ residency: Spoiler?
  ) throws -> [[UInt32]] {
    let batch = try TinyTask.data(9).batch(Array(0..<9))
    model.parameters.forEach { $0.gradient = .zeros($0.shape) }
    let tape = Tape(
      recording: true, precision: precision, weights: residency?.weights ?? BF16Weights(), observer: residency)
    let context = ForwardContext(
      tape: tape, dropout: DropoutSource(seed: 3, step: 1, samples: Array(0..<9)), checkpoints: checkpoints)
    let loss = tape.crossEntropy(model.forward(batch, context), labels: batch.labels, denominator: 9).loss
    try tape.observedBackward(from: loss)
    return model.parameters.map { $0.gradient!.array.map(\.bitPattern) } + [loss.value.array.map(\.bitPattern)]
  }

  @Test(arguments: [Precision.fp32, .bf16], [false, true])
  func `weights are read inside their block alone, forward and backward`(precision: Precision, again: Bool) throws {
    let model = try TinyTask.model(hidden: 16, layers: 3)
    let expected = try gradients(model, precision, checkpoints: 0..<0, nil)
    let spoiler = Spoiler(model.blocks)
    let found = try gradients(model, precision, checkpoints: again ? model.layerBlocks : 0..<0, spoiler)
    #expect(found == expected)
    #expect(spoiler.visits == ["+0", "+1", "+2", "+3", "+4", "-4", "-3", "-2", "-1", "-0"])
  }

  @Test func `a pass that is not recorded enters each block once`() throws {
    let model = try TinyTask.model(hidden: 16, layers: 2)
    let batch = try TinyTask.data(3).batch([0, 1, 2])
    let expected = model.logits(batch).array
    let spoiler = Spoiler(model.blocks)
    #expect(model.logits(batch, weights: spoiler.weights, tapeObserver: spoiler).array == expected)
    #expect(spoiler.visits == ["+0", "+1", "+2", "+3"])
  }
}
