import Autograd
import Datasets
import Foundation
import Layers
import Objectives
import Platform
import Safetensors
import Tensors
import TestSupport
import Testing

@testable import Models

/// Decoders against what PyTorch computes with the same models.
@Suite(
  .enabled(if: Parity.isAvailable, "no reference figures beside the checkout or in RETORT_PARITY"),
  .timeLimit(.minutes(3)))
struct DecoderParityTests {
  static let cases = Parity.directories.flatMap { directory in ["llama-tied", "llama-untied"].map { (directory, $0) } }

  @Test(arguments: cases) func `loss of the next token, last logits, the norm of every gradient`(
    directory: String, name: String
  ) throws {
    let expected = try Parity.expected(directory, name)
    let loaded = try ModelLoader.load(directory: "\(directory)/\(name)")
    #expect(loaded.report == LoadReport())
    for parameter in loaded.model.parameters { parameter.gradient = .zeros(parameter.shape) }
    var batch = packed(expected["sequences"]!.array!.map(\.tokens))
    batch.targets = nextTokens(batch)
    let tape = Tape(recording: true)
    let output = loaded.model.forward(batch, ForwardContext(tape: tape))
    for (end, theirs) in zip(batch.offsets.dropFirst(), expected["last_logits"]!.array!) {
      let mine = output.value.rows(Int(end) - 1..<Int(end)).array
      for (a, b) in zip(mine, theirs.numbers) { #expect(abs(Double(a) - b) < 1e-4) }
    }
    let count = Double(batch.countedTokens.count)
    #expect(Int(count) == expected["predicted_tokens"]!.int!)
    let loss = tape.crossEntropy(output, labels: batch.targets, denominator: count)
    let theirs = expected["next_token_cross_entropy"]!.double!
    #expect(abs(loss.sum / count - theirs) < 1e-5 * theirs)
    tape.backward(from: loss.loss)
    let norms = expected["gradient_l2"]!.object!
    #expect(Set(loaded.model.weightTable.map(\.name)) == Set(norms.keys))
    for binding in loaded.model.weightTable {
      let (mine, theirs) = (binding.gradient!.sumOfSquares.squareRoot(), norms[binding.name]!.double!)
      #expect(abs(mine - theirs) < 1e-3 * theirs, "\(binding.name)")
    }
  }

  @Test(arguments: cases) func `the greedy continuation, each token from a pass over all before it`(
    directory: String, name: String
  ) throws {
    let expected = try Parity.expected(directory, name)
    let model = try ModelLoader.load(directory: "\(directory)/\(name)").model
    var tokens = expected["sequences"]!.array![0].tokens
    for theirs in expected["greedy_continuation_of_sequence_0"]!.tokens {
      let logits = model.logits(packed([tokens])).rows(tokens.count - 1..<tokens.count).array
      let best = Int32(logits.indices.max { (logits[$0], $1) < (logits[$1], $0) }!)
      #expect(best == theirs)
      tokens.append(best)
    }
  }

  @Test(arguments: cases) func `in stages: the same bits as in one piece`(directory: String, name: String) throws {
    let expected = try Parity.expected(directory, name)
    let configuration = try ModelConfiguration(directory: "\(directory)/\(name)")
    let batch = packed(expected["sequences"]!.array!.map(\.tokens))
    let whole = try ModelLoader.load(directory: "\(directory)/\(name)").model
    let wanted = whole.logits(batch).array
    for stages in 2...(try DecoderConfiguration(configuration).layerCount) {
      let context = ForwardContext.inference()
      var states: Variable?
      var logits: [Float] = []
      for stage in 0..<stages {
        let weights = WeightOrigin.checkpoint(try openWeights(inModelDirectory: "\(directory)/\(name)"))
        let frozen = try FrozenModel(
          configuration, from: weights, seed: 0, precision: .fp32, part: ModelPart(stage: stage, of: stages))
        frozen.fill(Storage(bytes: frozen.byteCount))
        let model = try #require(frozen.model as? DecoderModel)
        let x = stage == 0 ? model.embed(batch, context) : states!
        states = model.advance(x, batch, context)
        if stage == stages - 1 {
          let last = model.finish(states!, batch, context)
          logits = context.tape.linear(last, weight: model.head, bias: nil, wide: true).value.array
        }
      }
      #expect(logits == wanted, "\(stages) stages")
    }
  }

  private func nextTokens(_ batch: Batch) -> [Int32] {
    var targets = Array(batch.tokens.dropFirst()) + [-1]
    for end in batch.offsets.dropFirst() { targets[Int(end) - 1] = -1 }
    return targets
  }
}
