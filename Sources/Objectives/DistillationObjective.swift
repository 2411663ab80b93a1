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
      let term = tape.forwardKL(
        student: logits, teacher: signals.materialized, temperature: Float(temperature), denominator: denominator)
      soft = term.sum
      if distillationWeight != 0 { terms.append((Float(distillationWeight), term.loss)) }
    }
    return Value(loss: tape.weightedSum(terms), crossEntropySum: hard.sum, distillationSum: soft)
  }

  /// The loss of a step from its means.
  public func total(crossEntropy: Double, distillation: Double) -> Double {
    crossEntropyWeight * crossEntropy + distillationWeight * distillation
  }
}
