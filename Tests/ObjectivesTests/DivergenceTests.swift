import Autograd
import Platform
import Tensors
import TestSupport
import Testing

@testable import Objectives

/// What every term on logits must hold.
@Suite struct DivergenceTests {
  private static let terms = ObjectiveCases.onLogits + ObjectiveCases.onLabels
  private static let byTeacher = terms.filter { !$0.readsTargets }

  private func plan(
    _ terms: [ObjectiveTerm], rows: Int, labelled: Int? = nil, combine: TeacherCombination = .logits,
    teachers: [TeacherRole] = [TeacherRole("teacher")]
  ) -> LogitsPlan {
    DistillationObjective(terms, combine: combine, teachers: teachers).logitsPlan(
      step: 1, of: 1, counts: StepCounts(rows: rows, labelled: labelled ?? rows, lengths: [], isCausal: false))
  }

  private func sum(_ student: Tensor, _ signals: [TeacherLogits?], labels: [Int32], _ plan: LogitsPlan) -> Double {
    Tape(recording: false).logitsLoss(Variable(constant: student), labels: labels, signals: signals, plan: plan)
      .sums[0]
  }

  @Test func `two equal models give zero`() {
    let logits = randomTensor([5, 70], seed: 1, scale: 4)
    for term in Self.byTeacher {
      let value = sum(logits, [.logits(logits)], labels: [0, 1, 2, 3, 4], plan([term], rows: 5))
      #expect(value >= 0 && value < 1e-9, "\(term.kind): \(value)")
    }
  }

  @Test func `a row's term does not depend on the other rows`() {
    let (student, teacher) = (randomTensor([6, 40], seed: 1), randomTensor([6, 40], seed: 2, scale: 2))
    let labels: [Int32] = [0, 1, 2, 3, 4, 5]
    for term in Self.terms {
      let all = sum(student, [.logits(teacher)], labels: labels, plan([term], rows: 6))
      let parts = [0..<1, 1..<4, 4..<6].reduce(0.0) { total, rows in
        total
          + sum(
            student.rows(rows), [.logits(teacher.rows(rows))], labels: Array(labels[rows]), plan([term], rows: 6))
      }
      #expect(abs(all - parts) <= 1e-9 * max(1, abs(all)), "\(term.kind)")
    }
  }

  @Test func `a temperature of any height keeps the precision of a forward KL`() {
    // T²·KL of T → ∞ is half the variance of s − t over the classes.
    let (student, teacher) = (randomTensor([3, 50], seed: 5), randomTensor([3, 50], seed: 6))
    let halfVariance = (0..<3).reduce(0.0) { total, row in
      let (s, t) = (student.rows(row..<row + 1).array, teacher.rows(row..<row + 1).array)
      let d = zip(s, t).map { Double($0 - $1) }
      let mean = d.reduce(0, +) / 50
      return total + d.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 100
    }
    for temperature in [8.0, 9, 100, 1e4, 1e6] {
      let term = ObjectiveTerm(
        ObjectiveRegistry.forwardKL, ["temperature": .schedule(Scheduled(temperature))])
      let value = sum(student, [.logits(teacher)], labels: [0, 1, 2], plan([term], rows: 3))
      let off = abs(value / halfVariance - 1)
      // The sums of e^(s/T) have the rounding of float, beside a divergence that falls like 1/T².
      #expect(off < 2 / temperature + 1e-5 + 1e-9 * temperature, "T = \(temperature): \(value) for \(halfVariance)")
    }
  }

  @Test func `gradients are those of finite differences`() {
    let teacher = randomTensor([5, 9], seed: 2, scale: 2)
    for term in Self.terms {
      // Steps that cross an edge of total variation or a change of order are no derivative: logits are well apart.
      let error = worstGradientError(inputs: [randomTensor([5, 9], seed: 31, scale: 2)], step: 2e-3) { tape, inputs in
        tape.logitsLoss(
          inputs[0], labels: [3, 0, 8, 1, 5], signals: [.logits(teacher)], plan: plan([term], rows: 5)
        ).loss
      }
      #expect(error < 2e-3, "\(term.kind): \(error)")
    }
  }

  @Test func `several terms at once are the sum of each alone`() {
    let (student, teacher) = (randomTensor([7, 60], seed: 3), randomTensor([7, 60], seed: 4, scale: 2))
    let labels: [Int32] = [0, -1, 59, 3, 3, -1, 8]
    let terms = ObjectiveTerm.named(ObjectiveCases.onLogits)
    func run(_ terms: [ObjectiveTerm]) -> (sums: [Double], gradient: [Float]) {
      let tape = Tape(recording: true)
      let leaf = tape.leaf(student)
      let loss = tape.logitsLoss(
        leaf, labels: labels, signals: [.logits(teacher)], plan: plan(terms, rows: 7, labelled: 5))
      return (loss.sums, tape.backward(from: loss.loss, leaves: [leaf])[0].array)
    }
    let (sums, gradient) = run(terms)
    let alone = terms.map { run([$0]) }
    for (index, term) in terms.enumerated() {
      #expect(abs(sums[index] - alone[index].sums[0]) < 1e-9 * max(1, abs(sums[index])), "\(term.kind)")
    }
    for place in gradient.indices {
      #expect(abs(gradient[place] - alone.reduce(0) { $0 + $1.gradient[place] }) < 1e-5)
    }
  }

  /// Two chunks of rows and two blocks of classes.
  @Test func `chunks come to what all logits at once come to`() {
    let (rows, classes, width) = (1100, 2100, 12)
    let states = randomTensor([rows, width], seed: 1)
    let head = trainedParameter("head", [classes, width], seed: 2, scale: 0.5)
    let given = TeacherLogits.hidden(
      randomTensor([rows, 20], seed: 3), head: randomTensor([classes, 20], seed: 4, scale: 0.4))
    let labels = (0..<rows).map { $0 % 7 == 3 ? -1 : Int32($0 * 37 % classes) }
    for term in ObjectiveCases.onLogits {
      let plan = plan([term], rows: rows)
      func run(_ make: (Tape, Variable) -> LogitsLoss) -> (Double, [Float], [Float]) {
        head.gradient?.fill(0)
        let tape = Tape(recording: true)
        let leaf = tape.leaf(states)
        let loss = make(tape, leaf)
        return (loss.sums[0], tape.backward(from: loss.loss, leaves: [leaf])[0].array, head.gradient!.array)
      }
      let chunked = run { $0.headLoss($1, head: head, labels: labels, signals: [given], plan: plan) }
      let whole = run {
        $0.logitsLoss(
          $0.linear($1, weight: head, bias: nil), labels: labels, signals: [.logits(given.materialized)], plan: plan)
      }
      #expect(abs(chunked.0 - whole.0) < 1e-5 * max(1, abs(whole.0)), "\(term.kind)")
      for (a, b) in [(chunked.1, whole.1), (chunked.2, whole.2)] {
        let scale = b.reduce(0) { max($0, abs($1)) }
        #expect(zip(a, b).allSatisfy { abs($0 - $1) <= 2e-4 * scale }, "\(term.kind)")
      }
    }
  }

  @Test func `of all classes among the k the term is the whole one, and of fewer its gradient is right`() {
    let (student, teacher) = (randomTensor([5, 30], seed: 1, scale: 2), randomTensor([5, 30], seed: 2, scale: 2))
    for term in ObjectiveCases.onLogits {
      guard let objective = term.objective as? any LogitsObjective, type(of: objective).allowsTopK else { continue }
      let temperature = Float(objective.temperature.from)
      // A term without a temperature leaves that of the top-k open.
      let best = TopKTargets(of: teacher, k: 30, temperature: term.readsTargets ? 1 : temperature)
      let plan = plan([term], rows: 5)
      let labels: [Int32] = [3, -1, 29, 0, 7]
      let (all, some) = (
        sum(student, [.logits(teacher)], labels: labels, plan), sum(student, [.topK(best)], labels: labels, plan)
      )
      #expect(abs(all - some) < 1e-5 * max(1, all), "\(term.kind)")
      let few = TopKTargets(of: teacher, k: 4, temperature: term.readsTargets ? 1 : temperature)
      #expect(sum(student, [.topK(few)], labels: labels, plan) <= all * (1 + 1e-5), "\(term.kind)")
      let error = worstGradientError(inputs: [student], step: 2e-3) { tape, inputs in
        tape.logitsLoss(inputs[0], labels: labels, signals: [.topK(few)], plan: plan).loss
      }
      #expect(error < 2e-3, "\(term.kind): \(error)")
    }
  }
}

/// How terms on logits use several teachers.
@Suite struct CombinationTests {
  private let roles = [TeacherRole("a", weight: 1), TeacherRole("b", weight: 3)]
  private let a = randomTensor([4, 6], seed: 5, scale: 2)
  private let b = randomTensor([4, 6], seed: 6, scale: 2)
  private let student = randomTensor([4, 6], seed: 7)
  private let labels: [Int32] = [0, 5, -1, 2]

  private func value(_ combine: TeacherCombination, teacher: String? = nil) -> Double {
    let term = ObjectiveTerm(
      ForwardKL.self, teacher: teacher, ["temperature": .schedule(Scheduled(2))])
    let plan = DistillationObjective([term], combine: combine, teachers: roles).logitsPlan(
      step: 1, of: 1, counts: StepCounts(rows: 4, labelled: 3, lengths: [], isCausal: false))
    return Tape(recording: false).logitsLoss(
      Variable(constant: student), labels: labels, signals: [.logits(a), .logits(b)], plan: plan
    ).sums[0]
  }

  private func alone(_ teacher: Tensor) -> [Double] {
    (0..<4).map { row in
      let plan = DistillationObjective([ObjectiveTerm(ForwardKL.self)]).logitsPlan(
        step: 1, of: 1, counts: StepCounts(rows: 1, labelled: 1, lengths: [], isCausal: false))
      return Tape(recording: false).logitsLoss(
        Variable(constant: student.rows(row..<row + 1)), labels: [-1],
        signals: [.logits(teacher.rows(row..<row + 1))], plan: plan
      ).sums[0]
    }
  }

  private func softmax(_ logits: [Double]) -> [Double] {
    let largest = logits.max() ?? 0
    let powers = logits.map { exponential($0 - largest) }
    return powers.map { $0 / powers.reduce(0, +) }
  }

  @Test func `a sum weighs the terms, and a named teacher is alone`() {
    let expected = zip(alone(a), alone(b)).reduce(0) { $0 + 0.25 * $1.0 + 0.75 * $1.1 }
    #expect(abs(value(.sum) - expected) < 1e-6)
    #expect(abs(value(.sum, teacher: "b") - alone(b).reduce(0, +)) < 1e-6)
  }

  @Test func `confidence weighs each row by the probability of its label`() {
    var expected = 0.0
    for row in 0..<4 {
      var shares = [0.25, 0.75]
      if labels[row] >= 0 {
        let own = [a, b].map { teacher in
          softmax(teacher.rows(row..<row + 1).array.map(Double.init))[Int(labels[row])]
        }
        shares = [0.25 * own[0], 0.75 * own[1]]
      }
      let total = shares[0] + shares[1]
      expected += (shares[0] * alone(a)[row] + shares[1] * alone(b)[row]) / total
    }
    #expect(abs(value(.confidence) - expected) < 1e-6)
  }

  @Test func `means of logits and of probabilities are compared as one teacher's`() {
    let mean = Tensor(zip(a.array, b.array).map { 0.25 * $0 + 0.75 * $1 }, [4, 6])
    #expect(abs(value(.logits) - alone(mean).reduce(0, +)) < 1e-5)
    var mixed: [Float] = []
    for row in 0..<4 {
      let p = [a, b].map { softmax($0.rows(row..<row + 1).array.map { Double($0) / 2 }) }
      mixed += zip(p[0], p[1]).map { Float(2 * logarithm(0.25 * $0 + 0.75 * $1)) }
    }
    #expect(abs(value(.probabilities) - alone(Tensor(mixed, [4, 6])).reduce(0, +)) < 1e-5)
  }
}
