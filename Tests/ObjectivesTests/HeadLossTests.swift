import Autograd
import Foundation
import Objectives
import Tensors
import TestSupport
import Testing

/// Two chunks of rows and two blocks of classes.
private let (rowCount, classCount, width, teacherWidth) = (1100, 2100, 24, 40)

/// Everything that a head loss reads, made from one seed.
private struct Case {
  let states = randomTensor([rowCount, width], seed: 1)
  let head = trainedParameter("head", [classCount, width], seed: 2, scale: 0.5)
  let labels = (0..<rowCount).map { $0 % 7 == 3 ? -1 : Int32($0 * 37 % classCount) }
  let teacherStates = randomTensor([rowCount, teacherWidth], seed: 3)
  let teacherHead = randomTensor([classCount, teacherWidth], seed: 4, scale: 0.4)
  let terms: TwoTerms

  init(temperature: Double = 2, ce: Double = 0.3, kd: Double = 0.7) {
    terms = TwoTerms(ce: ce, kd: kd, temperature: temperature)
  }

  var teacherLogits: Tensor { TeacherLogits.hidden(teacherStates, head: teacherHead).materialized }

  /// Loss, gradients and sums of the head loss.
  func chunked(_ targets: TeacherLogits?, precision: Precision = .fp32) -> Outcome {
    head.gradient?.fill(0)
    let tape = Tape(recording: true, precision: precision)
    let leaf = tape.leaf(states)
    let loss = tape.headLoss(leaf, head: head, labels: labels, targets: targets, terms: terms, denominator: 256)
    let gradient = tape.backward(from: loss.loss, leaves: [leaf])[0]
    return Outcome(
      loss.loss.value.scalar, loss.hard, loss.soft, gradient.array, head.gradient!.array)
  }

  /// The same from all logits at once, with the operations that classifiers use.
  func whole(_ teacher: Tensor?) -> Outcome {
    head.gradient?.fill(0)
    let tape = Tape(recording: true)
    let leaf = tape.leaf(states)
    let logits = tape.linear(leaf, weight: head, bias: nil)
    let loss = tape.logitsLoss(
      logits, labels: labels, targets: teacher.map(TeacherLogits.logits), terms: terms, denominator: 256)
    let gradient = tape.backward(from: loss.loss, leaves: [leaf])[0]
    return Outcome(loss.loss.value.scalar, loss.hard, loss.soft, gradient.array, head.gradient!.array)
  }
}

private struct Outcome {
  let loss: Float
  let hard: Double
  let soft: Double
  let states: [Float]
  let head: [Float]

  init(_ loss: Float, _ hard: Double, _ soft: Double, _ states: [Float], _ head: [Float]) {
    (self.loss, self.hard, self.soft, self.states, self.head) = (loss, hard, soft, states, head)
  }

  /// The largest deviation from another: of sums relative to them, of gradients relative to the largest element.
  func deviation(from other: Outcome) -> Double {
    func of(_ a: [Float], _ b: [Float]) -> Double {
      let scale = b.reduce(0) { max($0, abs($1)) }
      return zip(a, b).reduce(0) { max($0, Double(abs($1.0 - $1.1))) } / Double(scale)
    }
    return [
      Double(abs(loss - other.loss) / abs(other.loss)), abs(hard - other.hard) / max(1, abs(other.hard)),
      abs(soft - other.soft) / max(1, abs(other.soft)), of(states, other.states), of(head, other.head),
    ].max() ?? .nan
  }
}

@Suite struct HeadLossTests {
  @Test func `chunks cover all rows, and are as large as their logits may be`() {
    #expect(HeadLossChunks.mostRows(classes: 32000) == 512)
    #expect(HeadLossChunks.mostRows(classes: 128_256) == 256)
    #expect(HeadLossChunks.mostRows(classes: 512) == 1024)
    let bytes = HeadLossChunks.bytes(rows: 1930, classes: 32000, precision: .bf16, teacherStates: true)
    #expect(bytes == 512 * (2 * 4 * 32000 + 2 * 2048))
  }

  @Test(arguments: [1, 2, 3] as [Double]) func `chunks come to what all logits at once come to`(temperature: Double) {
    let work = Case(temperature: temperature)
    let logits = work.teacherLogits
    #expect(work.chunked(.logits(logits)).deviation(from: work.whole(logits)) < 1e-6)
    let hidden = TeacherLogits.hidden(work.teacherStates, head: work.teacherHead)
    #expect(work.chunked(hidden).deviation(from: work.whole(logits)) < 1e-6)
    #expect(work.chunked(nil).deviation(from: work.whole(nil)) < 1e-6)
    let rounded = logits.bf16()
    #expect(work.chunked(.logits(rounded)).deviation(from: work.whole(rounded.float32())) < 1e-6)
  }

  @Test(arguments: [(0, 1), (1, 0)] as [(Double, Double)])
  func `a term of weight 0 is reported and has no gradient`(ce: Double, kd: Double) {
    let work = Case(ce: ce, kd: kd)
    let logits = work.teacherLogits
    let outcome = work.chunked(.logits(logits))
    #expect(outcome.deviation(from: work.whole(logits)) < 1e-6)
    #expect(outcome.hard > 1 && outcome.soft > 1)
  }

  @Test(arguments: [1, 1.5, 2] as [Double]) func `gradients are those of finite differences`(temperature: Double) {
    let head = trainedParameter("head", [19, 6], seed: 1)
    let logits = randomTensor([4, 19], seed: 2, scale: 2)
    let terms = TwoTerms(ce: 0.4, kd: 0.6, temperature: temperature)
    let best = TopKTargets(of: logits, k: 5, temperature: Float(temperature))
    for targets in [TeacherLogits.logits(logits), .topK(best)] {
      let states = randomTensor([6, 6], seed: 3)
      head.gradient?.fill(0)
      func loss(_ tape: Tape, _ states: Variable) -> TwoTermLoss {
        tape.headLoss(
          states, rows: [5, 0, 2, 3], head: head, labels: [3, -1, 18, 0], targets: targets, terms: terms,
          denominator: 3)
      }
      let tape = Tape(recording: true)
      let leaf = tape.leaf(states)
      let gradients = tape.backward(from: loss(tape, leaf).loss, leaves: [leaf]) + [head.gradient!]
      for (tensor, gradient) in zip([states, head.value], gradients) {
        for index in 0..<tensor.count {
          let kept = tensor.floats[index]
          func moved(_ by: Float) -> Double {
            tensor.floats[index] = kept + by
            defer { tensor.floats[index] = kept }
            let result = loss(Tape(recording: false), Variable(constant: states))
            return (0.4 * result.hard + 0.6 * result.soft) / 3
          }
          let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2
          #expect(abs(numeric - Double(gradient.floats[index])) < 1e-3 * (1 + abs(numeric)))
        }
      }
    }
  }

  @Test func `in bf16 only operands and gradients of logits are rounded`() {
    let work = Case()
    // Where the operands are bf16 numbers already, the sums are those of float32.
    rtkRound(work.states)
    rtkRound(work.head.value)
    let logits = work.teacherLogits
    let (rounded, exact) = (work.chunked(.logits(logits), precision: .bf16), work.chunked(.logits(logits)))
    #expect(abs(rounded.hard - exact.hard) < 1e-6 * exact.hard)
    #expect(abs(rounded.soft - exact.soft) < 1e-6 * exact.soft)
    #expect(rounded.deviation(from: exact) < 4e-3)
  }

  @Test func `a teacher's packed head gives the same bits, and rows are those that were chosen`() {
    let (given, states) = (randomTensor([90, 64], seed: 2).bf16(), randomTensor([200, 32], seed: 3))
    let teacher = randomTensor([2112, 64], seed: 4, scale: 0.3).bf16()
    let wide = Parameter("head", randomTensor([2112, 32], seed: 5), decays: true)
    let rows = (0..<90).map { Int32(199 - 2 * $0) }
    func loss(_ teacher: Tensor, _ states: Variable, _ rows: [Int32]?) -> TwoTermLoss {
      Tape(recording: false, precision: .bf16).headLoss(
        states, rows: rows, head: wide, labels: rows.map { $0.map { $0 % 50 } } ?? Array(repeating: 1, count: 90),
        targets: .hidden(given, head: teacher),
        terms: TwoTerms(ce: 1, kd: 1, temperature: 2), denominator: 90)
    }
    let plain = loss(teacher, Variable(constant: states), rows)
    if Tensor.isPackable(teacher.shape) {
      let packed = loss(teacher.packed(), Variable(constant: states), rows)
      #expect(packed.soft == plain.soft && packed.hard == plain.hard)
    }
    let chosen = Tape(recording: false).selectRows(Variable(constant: states), rows)
    #expect(loss(teacher, chosen, nil).soft == plain.soft)
  }

  @Test func `a pass that does not record has the sums alone`() {
    let work = Case()
    let tape = Tape(recording: false)
    let loss = tape.headLoss(
      Variable(constant: work.states), head: work.head, labels: work.labels,
      terms: TwoTerms(ce: 1, kd: 0, temperature: 1), denominator: 1)
    let expected = work.whole(nil)
    #expect(abs(loss.hard - expected.hard) < 1e-6 * expected.hard)
    work.head.gradient?.fill(0)
    #expect(work.head.gradient!.sumOfSquares == 0)
  }

  @Test func `the head is reported ready once the loss is behind`() throws {
    let work = Case()
    let log = GradientLog()
    let tape = Tape(recording: true, observer: log)
    let table = trainedParameter("first", [width, width], seed: 8)
    let states = tape.linear(tape.leaf(work.states), weight: table, bias: nil)
    let loss = tape.headLoss(states, head: work.head, labels: work.labels, terms: work.terms, denominator: 1)
    try tape.observedBackward(from: loss.loss)
    #expect(log.ready == ["head", "first"])
  }
}

private func rtkRound(_ tensor: Tensor) { tensor.update(from: tensor.bf16().float32()) }

@Suite struct TopKTargetsTests {
  /// KL of k + 1 buckets, in double, as plainly as it can be written.
  private func reference(_ student: [Float], _ teacher: [Float], classes: [Int], temperature: Double) -> Double {
    func logSum(_ x: [Double]) -> Double {
      guard let largest = x.max(), largest > -.infinity else { return -.infinity }
      return largest + log(x.reduce(0) { $0 + exp($1 - largest) })
    }
    func buckets(_ logits: [Float]) -> [Double] {
      let scaled = logits.map { Double($0) / temperature }
      let others = scaled.indices.filter { !classes.contains($0) }.map { scaled[$0] }
      let all = logSum(scaled)
      return classes.map { scaled[$0] - all } + [logSum(others) - all]
    }
    return temperature * temperature
      * zip(buckets(teacher), buckets(student)).reduce(0) { $1.0 == -.infinity ? $0 : $0 + exp($1.0) * ($1.0 - $1.1) }
  }

  private func loss(_ student: Tensor, _ targets: TeacherLogits, temperature: Double) -> TwoTermLoss {
    let classes = student.columns
    let identity = Tensor.zeros([classes, classes])
    for index in 0..<classes { identity.floats[index * (classes + 1)] = 1 }
    let terms = TwoTerms(ce: 0, kd: 1, temperature: temperature)
    return Tape(recording: false).headLoss(
      Variable(constant: student), head: Parameter("head", identity, decays: false),
      labels: Array(repeating: -1, count: student.rows), targets: targets, terms: terms, denominator: 1)
  }

  @Test(arguments: [1, 2, 2.5] as [Double]) func `KL is that of k classes and a bucket`(temperature: Double) {
    for (classes, k) in [(2, 1), (40, 7), (300, 64)] {
      let (student, teacher) = (randomTensor([5, classes], seed: 1), randomTensor([5, classes], seed: 2, scale: 3))
      let targets = TopKTargets(of: teacher, k: k, temperature: Float(temperature))
      var expected = 0.0
      for row in 0..<5 {
        let chosen = targets.classes[row * k..<(row + 1) * k].map { Int($0) }
        let sorted = teacher.rows(row..<row + 1).array.enumerated().sorted { $0.element > $1.element }
        #expect(chosen == sorted.prefix(k).map(\.offset))
        expected += reference(
          student.rows(row..<row + 1).array, teacher.rows(row..<row + 1).array, classes: chosen,
          temperature: temperature)
      }
      let sum = loss(student, .topK(targets), temperature: temperature).soft
      #expect(abs(sum - expected) < 1e-6 * expected)
      let all = loss(student, .logits(teacher), temperature: temperature).soft
      #expect(sum <= all * (1 + 1e-6))
    }
  }

  @Test func `of logits that are there it is the same, with the gradient of finite differences`() {
    let student = randomTensor([4, 9], seed: 1)
    let best = TopKTargets(of: randomTensor([4, 9], seed: 2, scale: 2), k: 3, temperature: 2)
    func term(_ tape: Tape, _ student: Variable) -> TwoTermLoss {
      tape.logitsLoss(
        student, labels: [-1, -1, -1, -1], targets: .topK(best), terms: TwoTerms(ce: 0, kd: 1, temperature: 2),
        denominator: 4)
    }
    let sum = term(Tape(recording: false), Variable(constant: student)).soft
    #expect(abs(sum - loss(student, .topK(best), temperature: 2).soft) < 1e-6 * sum)
    let error = worstGradientError(inputs: [student]) { tape, inputs in term(tape, inputs[0]).loss }
    #expect(error < 2e-3)
  }

  @Test func `with all classes among the k it is the whole KL`() {
    let (student, teacher) = (randomTensor([9, 70], seed: 1), randomTensor([9, 70], seed: 2, scale: 3))
    let best = loss(student, .topK(TopKTargets(of: teacher, k: 70, temperature: 2)), temperature: 2).soft
    let whole = loss(student, .logits(teacher), temperature: 2).soft
    #expect(abs(best - whole) < 1e-6 * whole)
  }

  @Test func `it is never negative, and 0 for a student that agrees`() {
    for seed in 0..<40 as Range<UInt64> {
      let teacher = randomTensor([3, 50], seed: seed, scale: seed % 2 == 0 ? 1e-3 : 20)
      // A student that is nearly the teacher: every sum of its terms is rounding.
      let student = Tensor(zip(teacher.array, randomTensor([3, 50], seed: 99).array).map { $0 + 1e-6 * $1 }, [3, 50])
      for k in [1, 4, 49, 50] {
        let best = TopKTargets(of: teacher, k: k, temperature: 1)
        let near = loss(student, .topK(best), temperature: 1).soft
        #expect(near >= 0 && near < 1e-9)
        #expect(loss(teacher, .topK(best), temperature: 1).soft >= 0)
      }
    }
  }

  @Test func `far apart, the rest does not vanish`() {
    // The student has all its mass on one of the k: the rest weighs e^-200, which no subtraction from 1 would see.
    let student = Tensor([200, 0, 0, 0], [1, 4])
    let teacher = Tensor([3, 2, 1, 0], [1, 4])
    let best = TopKTargets(of: teacher, k: 2, temperature: 1)
    let sum = loss(student, .topK(best), temperature: 1).soft
    let expected = reference(student.array, teacher.array, classes: [0, 1], temperature: 1)
    #expect(expected > 50 && abs(sum - expected) < 1e-6 * expected)
  }

  @Test func `of equal logits the earlier class is taken, and the others are in the rest`() {
    let logits = Tensor([1, 5, 1, 5, 1, 1], [1, 6])
    let best = TopKTargets(of: logits, k: 3, temperature: 2)
    #expect(best.classes == [1, 3, 0])
    #expect(best.logits.array == [5, 5, 1])
    #expect(abs(best.logRest[0] - Float(log(3 * exp(0.5)))) < 1e-6)
    let many = TopKTargets(of: Tensor(repeating: 2, [2, 5000]), k: 64, temperature: 1)
    #expect(many.classes == Array(0..<64) + Array(0..<64))
    #expect(abs(many.logRest[1] - Float(log(4936.0) + 2)) < 1e-5)
  }

  @Test func `the largest of many are found in float32 and in bf16`() {
    let logits = randomTensor([3, 20000], seed: 5)
    for logits in [logits, logits.bf16()] {
      let best = TopKTargets(of: logits, k: 64, temperature: 1)
      let wide = logits.converted(to: .float32)
      for row in 0..<3 {
        let values = wide.rows(row..<row + 1).array
        let sorted = values.indices.sorted { values[$0] == values[$1] ? $0 < $1 : values[$0] > values[$1] }
        #expect(best.classes[row * 64..<(row + 1) * 64].map { Int($0) } == Array(sorted.prefix(64)))
        let rest = log(sorted.dropFirst(64).reduce(0.0) { $0 + exp(Double(values[$1])) })
        #expect(abs(Double(best.logRest[row]) - rest) < 1e-6 * abs(rest))
      }
    }
  }
}
