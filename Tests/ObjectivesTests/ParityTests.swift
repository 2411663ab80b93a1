import Autograd
import Objectives
import Platform
import Tensors
import TestSupport
import Testing

/// Every case of the losses that PyTorch computes, of a classifier's logits and under a head that is the identity.
@Suite(.enabled(if: Parity.isAvailable, "no reference figures beside the checkout")) struct LossParityTests {
  /// The objective of a case by its name in the reference, such as skew_forward_kl_l0.1_T2.0.
  private func term(_ name: String) -> ObjectiveTerm? {
    var options: [String: OptionValue] = [:]
    var words = name.split(separator: "_").map(String.init)
    for (mark, option) in [("T", "temperature"), ("l", "skew"), ("b", "beta")] {
      guard let place = words.firstIndex(where: { $0.hasPrefix(mark) && Double($0.dropFirst()) != nil }) else {
        continue
      }
      let value = Double(words[place].dropFirst())!
      options[option] = option == "temperature" ? .schedule(Scheduled(value)) : .number(value)
      words.remove(at: place)
    }
    let kinds = ["jsd": "jensen_shannon", "logit_mse": "logits_mse"]
    let kind = words.joined(separator: "_")
    return ObjectiveRegistry.kind(kinds[kind] ?? kind).map { ObjectiveTerm($0, options) }
  }

  @Test(arguments: Parity.directories) func `values and gradients are PyTorch's`(directory: String) throws {
    let expected = try Parity.expected(directory, "losses")
    let rows = expected["student"]!.array!.count
    func matrix(_ key: String) -> Tensor {
      let values = expected[key]!.numbers.map { Float($0) }
      return Tensor(values, [rows, values.count / rows])
    }
    let valid = expected["valid"]!.array!.map { $0.bool! }
    let counted = valid.indices.filter { valid[$0] }.map { Int32($0) }
    let labels = counted.map { expected["labels"]!.tokens[Int($0)] }
    let count = counted.count
    let classes = matrix("student").columns
    let teacher = Tape(recording: false).selectRows(Variable(constant: matrix("teacher")), counted).value
    let identity = Tensor.zeros([classes, classes])
    for index in 0..<classes { identity.floats[index * (classes + 1)] = 1 }
    let counts = StepCounts(rows: count, labelled: count, lengths: [], isCausal: false)
    let cases = expected["cases"]!.object!
    var checked = 0
    for (name, reference) in cases {
      guard let term = self.term(name) else {
        Issue.record("\(name) is no objective")
        continue
      }
      let plan = DistillationObjective([term]).logitsPlan(step: 1, of: 1, counts: counts)
      for isHead in [false, true] {
        let tape = Tape(recording: true)
        let student = tape.leaf(matrix("student"))
        let made =
          isHead
          ? tape.headLoss(
            student, rows: counted, head: Parameter("head", identity, decays: false), labels: labels,
            signals: [.logits(teacher)], plan: plan)
          : tape.logitsLoss(
            tape.selectRows(student, counted), labels: labels, signals: [.logits(teacher)], plan: plan)
        let gradient = tape.backward(from: made.loss, leaves: [student])[0]
        #expect(abs(made.sums[0] / Double(count) - reference["value"]!.double!) < 1e-5, "\(name)")
        for (mine, theirs) in zip(gradient.array, reference["gradient"]!.numbers) {
          #expect(abs(Double(mine) - theirs) < 1e-5, "\(name)")
        }
      }
      checked += 1
    }
    #expect(checked >= 30)
  }
}
