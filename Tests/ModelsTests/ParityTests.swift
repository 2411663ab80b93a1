import Autograd
import Datasets
import Foundation
import Layers
import Objectives
import Platform
import Tensors
import TestSupport
import Testing

@testable import Models

/// A packed batch of token sequences.
func packed(_ sequences: [[Int32]], labels: [Int32] = []) -> Batch {
  var batch = Batch()
  for (index, ids) in sequences.enumerated() {
    ids.withUnsafeBufferPointer {
      batch.append(
        tokens: $0, typeIDs: nil, label: index < labels.count ? labels[index] : -1, sample: index, contentHash: 0)
    }
  }
  return batch
}

/// Retort against what PyTorch computes with the same models.
@Suite(
  .enabled(if: Parity.isAvailable, "no reference figures beside the checkout or in RETORT_PARITY"),
  .timeLimit(.minutes(3)))
struct ParityTests {
  @Test(arguments: Parity.directories) func `bert: logits, hidden states, attentions`(directory: String) throws {
    let expected = try Parity.expected(directory, "bert")
    let loaded = try ModelLoader.load(directory: "\(directory)/bert")
    let sequences = expected["sequences"]!.array!.map(\.tokens)
    let batch = packed(sequences)
    let layers = loaded.configuration.json["num_hidden_layers"]!.int!
    let observer = RecordingObserver(
      all: (0...layers).map(PassPoint.states) + (1...layers).map(PassPoint.projections))
    let output = loaded.model.forward(batch, .inference(observer: observer))
    for (mine, theirs) in zip(output.value.array, expected["logits"]!.numbers) {
      #expect(abs(Double(mine) - theirs) < 1e-4)
    }
    let states = expected["hidden_states"]!.array!
    #expect(states.count == layers + 1)
    for (layer, reference) in states.enumerated() {
      let state = observer.values[.states(layer)]!
      for (index, pair) in reference.array!.enumerated() {
        let rows = Int(batch.offsets[index])..<Int(batch.offsets[index + 1])
        let part = state.rows(rows)
        let sum = part.array.reduce(0.0) { $0 + Double($1) }
        let squares = part.sumOfSquares
        let scale = max(squares.squareRoot(), 1)
        #expect(abs(sum - pair.numbers[0]) < 1e-3 * scale)
        #expect(abs(squares - pair.numbers[1]) < 1e-3 * max(pair.numbers[1], 1e-3))
      }
    }
    let attentions = expected["attentions_sum_of_squares"]!.array!
    let heads = loaded.configuration.json["num_attention_heads"]!.int!
    // A reference made with fused attention has no probabilities to compare with.
    for (layer, reference) in attentions.enumerated() {
      let projected = observer.values[.projections(layer + 1)]!
      for (sequence, theirs) in reference.numbers.enumerated() {
        let rows = Int(batch.offsets[sequence])..<Int(batch.offsets[sequence + 1])
        let mine = attentionSquares(projected.rows(rows), heads: heads)
        #expect(abs(mine - theirs) < 1e-3 * max(theirs, 1e-3))
      }
    }
  }

  /// Σ over heads, queries and keys of the squared attention probabilities of one sequence.
  private func attentionSquares(_ projected: Tensor, heads: Int) -> Double {
    let width = projected.columns / 3
    let size = width / heads
    func vector(_ row: Int, _ first: Int) -> [Double] {
      (0..<size).map { Double(projected.floats[row * projected.columns + first + $0]) }
    }
    var sum = 0.0
    for head in 0..<heads {
      for query in 0..<projected.rows {
        let q = vector(query, head * size)
        let scores = (0..<projected.rows).map { key in
          zip(q, vector(key, width + head * size)).reduce(0) { $0 + $1.0 * $1.1 } / Double(size).squareRoot()
        }
        let total = scores.reduce(0) { $0 + exp($1) }
        sum += scores.reduce(0) { $0 + (exp($1) / total) * (exp($1) / total) }
      }
    }
    return sum
  }

  @Test(arguments: Parity.directories) func `bert: the norm of every gradient`(directory: String) throws {
    let expected = try Parity.expected(directory, "bert")
    let loaded = try ModelLoader.load(directory: "\(directory)/bert")
    for parameter in loaded.model.parameters { parameter.gradient = .zeros(parameter.shape) }
    let labels = expected["labels"]!.tokens
    let batch = packed(expected["sequences"]!.array!.map(\.tokens), labels: labels)
    let tape = Tape(recording: true)
    let output = loaded.model.forward(batch, ForwardContext(tape: tape))
    let loss = tape.crossEntropy(output, labels: labels, denominator: Double(labels.count))
    #expect(abs(loss.sum / Double(labels.count) - expected["cross_entropy"]!.double!) < 1e-4)
    tape.backward(from: loss.loss)
    let norms = expected["gradient_l2"]!.object!
    #expect(Set(loaded.model.weightTable.map(\.name)) == Set(norms.keys))
    for binding in loaded.model.weightTable {
      let theirs = norms[binding.name]!.double!
      let mine = binding.gradient!.sumOfSquares.squareRoot()
      // A key's bias shifts all scores of a query alike, so its gradient is exactly zero and both see rounding only.
      #expect(abs(mine - theirs) < 1e-3 * max(theirs, 1e-3), "\(binding.name)")
    }
  }
}
