import Autograd
import Platform
import Tensors

/// What a teacher says of a batch.
public typealias TeacherSignals = SoftTargets

/// loss = ce_weight · CE(student, labels) + kd_weight · T² · KL(teacher_T ‖ student_T), each a mean over the global
/// batch.
///
/// Hinton, Vinyals and Dean (2015). T² keeps the size of the soft gradient independent of the temperature.
public struct DistillationObjective: Sendable, Equatable {
  /// Weight of the cross-entropy with the data's labels.
  public let crossEntropyWeight: Double
  /// Weight of the distillation loss.
  public let distillationWeight: Double
  /// T > 0.
  public let temperature: Double

  /// The loss with these weights, which need not add up to 1, and T > 0.
  public init(crossEntropyWeight: Double, distillationWeight: Double, temperature: Double) {
    self.crossEntropyWeight = crossEntropyWeight
    self.distillationWeight = distillationWeight
    self.temperature = temperature
  }

  /// A micro-batch's contribution: its scalar on the tape, and the sums for the log.
  public struct Value {
    /// The micro-batch's share of the step's loss; shares of all ranks and micro-batches add up to it.
    public let loss: Variable
    /// Σ over rows of the cross-entropy.
    public let crossEntropySum: Double
    /// Σ over rows of T²·KL; 0 without a teacher.
    public let distillationSum: Double
  }

  /// The share of a micro-batch in the loss of the step.
  ///
  /// - Parameters:
  ///   - logits: the student's, [B, classes].
  ///   - signals: the teacher's for the same examples, nil for plain fine-tuning.
  ///   - labels: B classes.
  ///   - denominator: examples of the step over all ranks and micro-batches.
  public func callAsFunction(
    _ logits: Variable, signals: TeacherSignals?, labels: [Int32], denominator: Double, on tape: Tape
  ) -> Value {
    let hard = tape.crossEntropy(logits, labels: labels, denominator: denominator)
    var terms: [(weight: Float, term: Variable)] = []
    // A term of weight 0 is reported but costs no backward pass.
    if crossEntropyWeight != 0 { terms.append((Float(crossEntropyWeight), hard.loss)) }
    var soft = 0.0
    if let signals {
      let term = divergence(logits, signals, denominator, tape)
      soft = term.sum
      if distillationWeight != 0 { terms.append((Float(distillationWeight), term.loss)) }
    }
    return Value(loss: tape.weightedSum(terms), crossEntropySum: hard.sum, distillationSum: soft)
  }

  private func divergence(
    _ logits: Variable, _ signals: TeacherSignals, _ denominator: Double, _ tape: Tape
  ) -> LossTerm {
    let temperature = Float(temperature)
    if case .topK(let best) = signals {
      return tape.forwardKL(student: logits, teacher: best, temperature: temperature, denominator: denominator)
    }
    let teacher = signals.materialized.converted(to: .float32)
    return tape.forwardKL(student: logits, teacher: teacher, temperature: temperature, denominator: denominator)
  }

  /// The share of a micro-batch of a language model, whose logits are never there all at once.
  ///
  /// - Parameters:
  ///   - states: [T, hidden], behind the student's last norm.
  ///   - rows: the tokens that predict one, R of the T; nil for all.
  ///   - head: the student's, [V, hidden].
  ///   - signals: the teacher's for the R rows, nil for plain training.
  ///   - labels: the R tokens to be predicted; a negative one leaves the cross-entropy of its row out.
  ///   - denominator: predicted tokens of the step over all ranks and micro-batches.
  /// The gradient of the head is made here already: see `Tape.headLoss`.
  public func callAsFunction(
    states: Variable, rows: [Int32]?, head: Parameter, signals: TeacherSignals?, labels: [Int32], denominator: Double,
    on tape: Tape
  ) -> Value {
    let terms = HeadLossTerms(
      crossEntropyWeight: crossEntropyWeight, distillationWeight: distillationWeight, temperature: temperature)
    let value = tape.headLoss(
      states, rows: rows, head: head, labels: labels, targets: signals, terms: terms, denominator: denominator)
    return Value(
      loss: value.loss, crossEntropySum: value.crossEntropySum, distillationSum: value.distillationSum)
  }

  /// The loss of a step from its means.
  public func total(crossEntropy: Double, distillation: Double) -> Double {
    crossEntropyWeight * crossEntropy + distillationWeight * distillation
  }
}
