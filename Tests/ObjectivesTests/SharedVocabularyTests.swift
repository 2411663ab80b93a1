import Autograd
import Tensors
import TestSupport
import Testing

@testable import Objectives

/// Two chunks of rows; two blocks of shared classes, then classes of the student alone, and of the teacher alone.
private let (rowCount, shared, own, theirs, width) = (1100, 2100, 2190, 2240, 12)

/// Terms with teachers compare the shared tokens of two padded vocabularies.
@Suite struct SharedVocabularyTests {
  private let states = randomTensor([rowCount, width], seed: 1)
  private let head = trainedParameter("head", [own, width], seed: 2, scale: 0.5)
  private let labels = (0..<rowCount).map { $0 % 7 == 3 ? -1 : Int32($0 * 37 % shared) }
  private let teacherStates = randomTensor([rowCount, 20], seed: 3)
  private let teacherHead = randomTensor([theirs, 20], seed: 4, scale: 0.4)

  private struct Outcome {
    let sums: [Double]
    let states: [Float]
    let head: [Float]

    func expect(_ other: Outcome, within tolerance: Float, _ what: String) {
      for (a, b) in zip(sums, other.sums) {
        #expect(abs(a - b) <= Double(tolerance) * max(1, abs(b)), "\(what): \(a) for \(b)")
      }
      for (a, b) in [(states, other.states), (head, other.head)] {
        let scale = b.reduce(0) { max($0, abs($1)) }
        #expect(a.count >= b.count && zip(a, b).allSatisfy { abs($0 - $1) <= tolerance * scale }, "\(what)")
        #expect(a.dropFirst(b.count).allSatisfy { $0 == 0 }, "\(what): a class of the student alone has a gradient")
      }
    }
  }

  private func plan(
    _ terms: [ObjectiveTerm], shared: Int?, combine: TeacherCombination = .logits, teachers: Int = 1
  ) -> LogitsPlan {
    let roles = (0..<teachers).map { TeacherRole("t\($0)", weight: Double($0 + 1)) }
    var objective = DistillationObjective(terms, combine: combine, teachers: roles)
    objective.sharedClasses = shared
    let labelled = labels.count { $0 >= 0 }
    return objective.logitsPlan(
      step: 1, of: 1, counts: StepCounts(rows: rowCount, labelled: labelled, lengths: [], isCausal: false))
  }

  private func run(
    _ head: Parameter, _ signals: [TeacherLogits], _ plan: LogitsPlan, precision: Precision = .fp32
  ) -> Outcome {
    head.gradient?.fill(0)
    let tape = Tape(recording: true, precision: precision)
    let leaf = tape.leaf(states)
    let loss = tape.headLoss(leaf, head: head, labels: labels, signals: signals, plan: plan)
    return Outcome(
      sums: loss.sums, states: tape.backward(from: loss.loss, leaves: [leaf])[0].array,
      head: head.gradient?.array ?? [])
  }

  /// A head of the shared rows alone.
  private var sharedHead: Parameter {
    let part = Parameter("head", head.value.rows(0..<shared).copy(), decays: false)
    part.gradient = .zeros([shared, width])
    return part
  }

  private var hidden: TeacherLogits { .hidden(teacherStates, head: teacherHead) }
  private var cutHidden: TeacherLogits { .hidden(teacherStates, head: teacherHead.rows(0..<shared)) }

  /// The first columns of logits.
  private func cut(_ logits: Tensor) -> Tensor {
    let result = Tensor(uninitialized: [logits.rows, shared])
    for row in 0..<logits.rows {
      (result.floats + row * shared).update(from: logits.floats + row * logits.columns, count: shared)
    }
    return result
  }

  @Test func `a term with a teacher is that of models without the other classes, whatever the teacher sends`() {
    for term in ObjectiveCases.onLogits where !term.readsTargets {
      let wanted = run(sharedHead, [cutHidden], plan([term], shared: nil))
      let found = run(head, [hidden], plan([term], shared: shared))
      found.expect(wanted, within: 1e-5, "\(term.kind) of states")
      run(head, [.logits(hidden.materialized)], plan([term], shared: shared))
        .expect(wanted, within: 1e-4, "\(term.kind) of logits")
      guard let objective = term.objective as? any LogitsObjective, type(of: objective).allowsTopK else { continue }
      let best = TopKTargets(of: cut(hidden.materialized), k: 9, temperature: Float(objective.temperature.from))
      run(head, [.topK(best)], plan([term], shared: shared))
        .expect(run(sharedHead, [.topK(best)], plan([term], shared: nil)), within: 1e-5, "\(term.kind) of a top-k")
    }
  }

  @Test func `cross-entropy is over all classes of the student`() throws {
    let term = try #require(ObjectiveCases.onLogits.first { $0.readsTargets })
    let wanted = run(head, [], plan([term], shared: nil))
    for signal in [hidden, .topK(TopKTargets(of: cut(hidden.materialized), k: 9, temperature: 1))] {
      run(head, [signal], plan([term], shared: shared)).expect(wanted, within: 1e-5, term.kind)
    }
    #expect(wanted.head.suffix((own - shared) * width).contains { $0 != 0 })
  }

  @Test(arguments: [Precision.fp32, .bf16]) func `several terms at once are the sum of each alone`(precision: Precision)
  {
    for isTopK in [false, true] {
      let terms = ObjectiveTerm.named(
        ObjectiveCases.onLogits.filter {
          guard isTopK, let objective = $0.objective as? any LogitsObjective else { return true }
          return $0.readsTargets || type(of: objective).allowsTopK && objective.temperature.from == 1.5
        })
      let signal =
        isTopK ? .topK(TopKTargets(of: cut(hidden.materialized), k: 9, temperature: 1.5)) : hidden
      let found = run(head, [signal], plan(terms, shared: shared), precision: precision)
      let alone = terms.map { run(head, [signal], plan([$0], shared: shared)) }
      let tolerance: Float = precision == .bf16 ? 2e-2 : 1e-4
      for (index, term) in terms.enumerated() {
        let (a, b) = (found.sums[index], alone[index].sums[0])
        #expect(abs(a - b) <= Double(tolerance) * max(1, abs(b)), "\(term.kind): \(a) for \(b)")
      }
      for path in [\Outcome.states, \.head] {
        let total = found[keyPath: path].indices.map { place in
          alone.reduce(Float(0)) { $0 + $1[keyPath: path][place] }
        }
        let scale = total.reduce(0) { max($0, abs($1)) }
        #expect(zip(found[keyPath: path], total).allSatisfy { abs($0 - $1) <= tolerance * scale })
      }
    }
  }

  @Test(arguments: [TeacherCombination.logits, .probabilities, .sum, .confidence])
  func `several teachers are combined on the shared classes, each with its own number of others`(
    combine: TeacherCombination
  ) throws {
    let term = try #require(ObjectiveCases.onLogits.first { $0.kind == "reverse_kl" })
    let second = randomTensor([shared + 3, 16], seed: 8, scale: 0.4)
    let seen = randomTensor([rowCount, 16], seed: 9)
    run(
      head, [hidden, .hidden(seen, head: second)], plan([term], shared: shared, combine: combine, teachers: 2)
    ).expect(
      run(
        sharedHead, [cutHidden, .hidden(seen, head: second.rows(0..<shared))],
        plan([term], shared: nil, combine: combine, teachers: 2)), within: 1e-4, "\(combine)")
  }

  @Test(.enabled(if: Tensor.isPackable([theirs, 64]), "this CPU has no packed products"))
  func `a packed head of a teacher gives the bits of the same head in rows`() {
    let states = randomTensor([rowCount, 64], seed: 3).bf16()
    let rows = randomTensor([theirs, 64], seed: 4, scale: 0.2).bf16()
    let terms = ObjectiveTerm.named(ObjectiveCases.onLogits)
    let (a, b) = (
      run(head, [.hidden(states, head: rows)], plan(terms, shared: shared)),
      run(head, [.hidden(states, head: rows.packed())], plan(terms, shared: shared))
    )
    #expect(a.sums == b.sums && a.states == b.states && a.head == b.head)
  }

  @Test func `a number that is not below the classes changes no bit`() {
    let terms = ObjectiveTerm.named(ObjectiveCases.onLogits)
    let teacher = TeacherLogits.hidden(teacherStates, head: teacherHead.rows(0..<own))
    let (a, b) = (
      run(head, [teacher], plan(terms, shared: nil)), run(head, [teacher], plan(terms, shared: own))
    )
    #expect(a.sums == b.sums && a.states == b.states && a.head == b.head)
  }
}
