import Autograd
import Objectives
import Tensors
import TestSupport
import Testing

@Suite struct ObjectiveTests {
  private let terms = TwoTerms(ce: 0.3, kd: 0.7, temperature: 2)
  private let states = randomTensor([6, 5], seed: 1)
  private let labels: [Int32] = [2, -1, 7, 0]
  private let rows: [Int32] = [5, 1, 2, 0]

  /// Every form of what a teacher says of four rows.
  private var signals: [TeacherLogits?] {
    let hidden = TeacherLogits.hidden(randomTensor([4, 3], seed: 2), head: randomTensor([9, 3], seed: 3, scale: 2))
    return [
      nil, hidden, .logits(hidden.materialized), .logits(hidden.materialized.bf16()),
      .topK(TopKTargets(of: hidden.materialized, k: 4, temperature: 2)),
    ]
  }

  @Test func `a language model's loss is that of a classifier of its predicted tokens`() {
    for signals in signals {
      let (head, same) = (trainedParameter("head", [9, 5], seed: 4), trainedParameter("head", [9, 5], seed: 4))
      let tape = Tape(recording: true)
      let leaf = tape.leaf(states)
      let mine = tape.headLoss(
        leaf, rows: rows, head: head, labels: labels, targets: signals, terms: terms, denominator: 3)
      let gradient = tape.backward(from: mine.loss, leaves: [leaf])[0].array
      let other = Tape(recording: true)
      let otherLeaf = other.leaf(states)
      let logits = other.linear(other.selectRows(otherLeaf, rows), weight: same, bias: nil)
      let theirs = other.logitsLoss(logits, labels: labels, targets: signals, terms: terms, denominator: 3)
      let expected = other.backward(from: theirs.loss, leaves: [otherLeaf])[0].array
      #expect(abs(mine.hard - theirs.hard) < 1e-6)
      #expect(abs(mine.soft - theirs.soft) < 1e-5)
      #expect(abs(mine.loss.value.scalar - theirs.loss.value.scalar) < 1e-5)
      #expect(zip(gradient, expected).allSatisfy { abs($0 - $1) < 1e-5 })
      #expect(zip(head.gradient!.array, same.gradient!.array).allSatisfy { abs($0 - $1) < 1e-5 })
      #expect((mine.soft > 0) == (signals != nil))
    }
  }

  @Test func `of bf16 logits and of states a classifier learns what their float32 logits say`() {
    let logits = randomTensor([4, 9], seed: 6)
    let values = signals.compactMap { $0 }.prefix(3).map {
      let tape = Tape(recording: false)
      let value = tape.logitsLoss(
        Variable(constant: logits), labels: labels, targets: $0, terms: terms, denominator: 3)
      return value.soft
    }
    #expect(values[0] == values[1])
    #expect(abs(values[2] - values[0]) < 0.02 * values[0])
  }
}
