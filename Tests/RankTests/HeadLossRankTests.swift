import Autograd
import Collectives
import Tensors
import TestSupport
import Testing

extension RankTests {
  /// A head whose vocabulary the ranks share, against the whole on one.
  @Suite struct HeadLossRankTests {
    private let rows = 1100
    private let classes = 2500
    private let width = 16
    private var labels: [Int32] { (0..<rows).map { $0 % 5 == 2 ? -1 : Int32($0 * 61 % classes) } }
    private let terms = HeadLossTerms(crossEntropyWeight: 0.4, distillationWeight: 0.6, temperature: 2)

    /// Rank r has r + 1 parts of all: no two ranks have as many.
    private func share(of communicator: any Communicator) -> Range<Int> {
      func end(_ ranks: Int) -> Int { classes * ranks * (ranks + 1) / (communicator.size * (communicator.size + 1)) }
      return end(communicator.rank)..<end(communicator.rank + 1)
    }

    private struct Outcome {
      let loss: HeadLoss
      let states: [Float]
      let head: [Float]
    }

    private func outcome(_ head: Tensor, _ body: (Tape, Variable, Parameter) throws -> HeadLoss) rethrows -> Outcome {
      let parameter = Parameter("head", head, decays: true)
      parameter.gradient = .zeros(head.shape)
      let tape = Tape(recording: true)
      let states = tape.leaf(randomTensor([rows, width], seed: 1))
      let loss = try body(tape, states, parameter)
      let gradient = tape.backward(from: loss.loss, leaves: [states])[0]
      return Outcome(loss: loss, states: gradient.array, head: parameter.gradient!.array)
    }

    private func deviation(_ a: [Float], _ b: [Float]) -> Float {
      let scale = b.reduce(0) { max($0, abs($1)) }
      return zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } / scale
    }

    /// What the teacher says of all classes, and of this rank's.
    private func targets(_ name: String, _ part: Range<Int>) -> (all: SoftTargets?, here: SoftTargets?) {
      let (states, head) = (randomTensor([rows, 20], seed: 3), randomTensor([classes, 20], seed: 4, scale: 0.7))
      let all = SoftTargets.hidden(states, head: head)
      switch name {
      case "hidden": return (all, .hidden(states, head: head.rows(part)))
      case "logits":
        let logits = all.materialized
        return (.logits(logits), .logits(SoftTargets.hidden(states, head: head.rows(part).copy()).materialized))
      case "top-k":
        let best = TopKTargets(of: all.materialized, k: 20, temperature: 2)
        return (.topK(best), .topK(best))
      default: return (nil, nil)
      }
    }

    @Test(arguments: ["none", "logits", "hidden", "top-k"])
    func `ranks that share a vocabulary come to the loss and gradients of the whole`(name: String) throws {
      let head = randomTensor([classes, width], seed: 2, scale: 0.6)
      for communicator in try RankTests.groups() {
        let part = share(of: communicator)
        let (all, here) = targets(name, part)
        let whole = outcome(head) {
          $0.headLoss($1, head: $2, labels: labels, targets: all, terms: terms, denominator: 250)
        }
        let mine = try outcome(head.rows(part).copy()) {
          try $0.headLoss(
            $1, head: $2, labels: labels, targets: here, terms: terms, denominator: 250,
            shard: VocabularyShard(part, of: classes, on: communicator))
        }
        #expect(abs(mine.loss.crossEntropySum / whole.loss.crossEntropySum - 1) < 1e-6)
        #expect(abs(mine.loss.distillationSum - whole.loss.distillationSum) < 1e-6 * whole.loss.crossEntropySum)
        #expect(abs(mine.loss.loss.value.scalar / whole.loss.loss.value.scalar - 1) < 1e-6)
        #expect(deviation(mine.states, whole.states) < 1e-6)
        let expected = Array(whole.head[part.lowerBound * width..<part.upperBound * width])
        #expect(deviation(mine.head, expected) < 1e-6)
        // Every rank has the same bits, or students would part from each other.
        let bits = mine.states.map { Int($0.bitPattern) } + [Int(mine.loss.loss.value.scalar.bitPattern)]
        #expect(try communicator.allReduce(bits, .max) == bits)
      }
    }
  }
}
