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
    let output = loaded.model.forward(batch, .inference(capture: [.hiddenStates, .attentions]))
    for (mine, theirs) in zip(output.logits.value.array, expected["logits"]!.numbers) {
      #expect(abs(Double(mine) - theirs) < 1e-4)
    }
    let states = expected["hidden_states"]!.array!
    #expect(output.hiddenStates.count == states.count)
    for (state, reference) in zip(output.hiddenStates, states) {
      for (index, pair) in reference.array!.enumerated() {
        let rows = Int(batch.offsets[index])..<Int(batch.offsets[index + 1])
        let part = state.value.rows(rows)
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
    #expect(attentions.isEmpty || output.attentions.count == attentions.count)
    for (layer, reference) in zip(output.attentions, attentions) {
      var start = 0
      for (sequence, theirs) in zip(sequences, reference.numbers) {
        let cells = heads * sequence.count * sequence.count
        let mine = layer.value.slice(at: start, [cells]).sumOfSquares
        #expect(abs(mine - theirs) < 1e-3 * max(theirs, 1e-3))
        start += cells
      }
    }
  }

  @Test(arguments: Parity.directories) func `bert: the norm of every gradient`(directory: String) throws {
    let expected = try Parity.expected(directory, "bert")
    let loaded = try ModelLoader.load(directory: "\(directory)/bert")
    for parameter in loaded.model.parameters { parameter.gradient = .zeros(parameter.shape) }
    let labels = expected["labels"]!.tokens
    let batch = packed(expected["sequences"]!.array!.map(\.tokens), labels: labels)
    let tape = Tape(recording: true)
    let output = loaded.model.forward(batch, ForwardContext(tape: tape))
    let loss = tape.crossEntropy(output.logits, labels: labels, denominator: Double(labels.count))
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

  @Test(arguments: Parity.directories) func `losses: value and gradient`(directory: String) throws {
    let expected = try Parity.expected(directory, "losses")
    let rows = expected["student"]!.array!.count
    func matrix(_ key: String) -> Tensor {
      let values = expected[key]!.numbers.map { Float($0) }
      return Tensor(values, [rows, values.count / rows])
    }
    let valid = expected["valid"]!.array!.map { $0.bool! }
    let labels = zip(expected["labels"]!.tokens, valid).map { $1 ? $0 : -1 }
    let count = Double(valid.filter { $0 }.count)
    let cases = expected["cases"]!.object!
    func check(_ name: String, _ term: (Tape, Variable) -> LossTerm) {
      let tape = Tape(recording: true)
      let student = tape.leaf(matrix("student"))
      let result = term(tape, student)
      let gradient = tape.backward(from: result.loss, leaves: [student])[0]
      #expect(abs(result.sum / count - cases[name]!["value"]!.double!) < 1e-5, "\(name)")
      for (mine, theirs) in zip(gradient.array, cases[name]!["gradient"]!.numbers) {
        #expect(abs(Double(mine) - theirs) < 1e-5, "\(name)")
      }
    }
    check("cross_entropy") { $0.crossEntropy($1, labels: labels, denominator: count) }
    for temperature in [1.0, 2.0, 4.0] {
      check("forward_kl_T\(temperature)") {
        $0.forwardKL(
          student: $1, teacher: matrix("teacher"), temperature: Float(temperature), weights: valid.map { $0 ? 1 : 0 },
          denominator: count)
      }
    }
    // The same under a head that is the identity, with the rows that count chosen from all.
    let classes = matrix("student").columns
    let identity = Tensor.zeros([classes, classes])
    for index in 0..<classes { identity.floats[index * (classes + 1)] = 1 }
    let counted = valid.indices.filter { valid[$0] }.map { Int32($0) }
    func headLoss(_ terms: HeadLossTerms, _ tape: Tape, _ states: Variable) -> HeadLoss {
      let teacher = tape.selectRows(Variable(constant: matrix("teacher")), counted).value
      return tape.headLoss(
        states, rows: counted, head: Parameter("head", identity, decays: false),
        labels: counted.map { labels[Int($0)] },
        targets: .logits(teacher), terms: terms, denominator: count)
    }
    check("cross_entropy") {
      let terms = HeadLossTerms(crossEntropyWeight: 1, distillationWeight: 0, temperature: 2)
      let result = headLoss(terms, $0, $1)
      return LossTerm(loss: result.loss, sum: result.crossEntropySum)
    }
    for temperature in [1.0, 2.0, 4.0] {
      check("forward_kl_T\(temperature)") {
        let terms = HeadLossTerms(crossEntropyWeight: 0, distillationWeight: 1, temperature: temperature)
        let result = headLoss(terms, $0, $1)
        return LossTerm(loss: result.loss, sum: result.distillationSum)
      }
    }
  }
}
