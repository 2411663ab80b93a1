import Autograd
import Objectives
import Tensors

/// The weights and the temperature of a loss of two terms: ce · cross-entropy + kd · T²·KL(teacher ‖ student).
package struct TwoTerms: Sendable {
  package var ce: Double
  package var kd: Double
  package var temperature: Double

  package init(ce: Double, kd: Double, temperature: Double) {
    self.ce = ce
    self.kd = kd
    self.temperature = temperature
  }

  /// The plan of a pass whose sums are divided by one denominator.
  package func plan(denominator: Double, hasTeacher: Bool = true) -> LogitsPlan {
    let counts = Int(denominator)
    let objective = DistillationObjective(
      crossEntropyWeight: ce, distillationWeight: kd, temperature: temperature)
    var plan = objective.logitsPlan(
      step: 1, of: 1, counts: StepCounts(rows: counts, labelled: counts, lengths: [], isCausal: false))
    if !hasTeacher { plan.parts = [] }
    return plan
  }
}

/// A loss of two terms on the tape and its sums.
package struct TwoTermLoss {
  package let loss: Variable
  package let hard: Double
  package let soft: Double
  /// (ce · hard + kd · soft) / denominator.
  package let value: Double
}

extension Tape {
  /// The loss of a head: see `Tape.headLoss`.
  package func headLoss(
    _ states: Variable, rows: [Int32]? = nil, head: Parameter, labels: [Int32], targets: TeacherLogits? = nil,
    terms: TwoTerms, denominator: Double
  ) -> TwoTermLoss {
    let plan = terms.plan(denominator: denominator, hasTeacher: targets != nil)
    let made = headLoss(
      states, rows: rows, head: head, labels: labels, signals: targets.map { [$0] } ?? [], plan: plan)
    return TwoTermLoss(made, terms, denominator)
  }

  /// The loss of a classifier's logits: see `Tape.logitsLoss`.
  package func logitsLoss(
    _ logits: Variable, labels: [Int32], targets: TeacherLogits? = nil, terms: TwoTerms, denominator: Double
  ) -> TwoTermLoss {
    let plan = terms.plan(denominator: denominator, hasTeacher: targets != nil)
    let made = logitsLoss(logits, labels: labels, signals: targets.map { [$0] } ?? [], plan: plan)
    return TwoTermLoss(made, terms, denominator)
  }
}

extension TwoTermLoss {
  fileprivate init(_ made: LogitsLoss, _ terms: TwoTerms, _ denominator: Double) {
    self.init(
      loss: made.loss, hard: made.sums[0], soft: made.sums[1],
      value: (terms.ce * made.sums[0] + terms.kd * made.sums[1]) / denominator)
  }
}
