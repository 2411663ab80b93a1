import Autograd
import Datasets
import Layers
import Models
import Objectives
import Tensors

extension DistillationObjective {
  /// A student's share in the loss of the step, from one forward pass: a classifier has a row of the loss for each
  /// example, a language model one for each predicted token.
  ///
  /// - Parameters:
  ///   - signals: the teacher's for the same rows, nil for plain fine-tuning.
  ///   - denominator: rows of the step over all ranks and passes.
  func value(
    of student: any Model, _ batch: Batch, signals: TeacherSignals?, denominator: Double, _ context: ForwardContext
  ) -> Value {
    guard let student = student as? any LanguageModel else {
      let logits = student.forward(batch, context).logits
      return self(logits, signals: signals, labels: batch.labels, denominator: denominator, on: context.tape)
    }
    let rows = batch.predictedRows
    var value: Value?
    _ = context.block(student.blocks.count - 1, student.states(batch, context)) { states, context in
      let made = self(
        states: states, rows: rows, head: student.head, signals: signals,
        labels: rows.map { batch.targets[Int($0)] }, denominator: denominator, on: context.tape)
      value = made
      return made.loss
    }
    return value!
  }
}

extension LanguageModel {
  /// Σ −log p(target) over the predicted tokens of a batch, in inference.
  ///
  /// - Parameters:
  ///   - weights: copies that outlive the pass, see `Tape`.
  ///   - residency: brings the weights of blocks and lets them go.
  public func crossEntropySum(
    _ batch: Batch, precision: Precision, weights: BF16Weights = BF16Weights(),
    residency: (any BlockResidency)? = nil
  ) -> Double {
    let context = ForwardContext.inference(precision: precision, weights: weights, residency: residency)
    let rows = batch.predictedRows
    var sum = 0.0
    _ = context.block(blocks.count - 1, states(batch, context)) { states, context in
      sum = context.tape.crossEntropySum(
        states, rows: rows, head: self.head, labels: rows.map { batch.targets[Int($0)] })
      return states
    }
    return sum
  }
}

extension SoftTargets {
  /// Σ −log softmax(logits_r)[label_r] over the rows; not for top-k targets.
  public func crossEntropySum(labels: [Int32]) -> Double {
    guard case .hidden(let states, let head) = self else {
      return Evaluator.crossEntropySum(materialized, labels)
    }
    let tape = Tape(recording: false, precision: head.dtype == .bfloat16 ? .bf16 : .fp32)
    let weight = Parameter("teacher's head", head, decays: false)
    return tape.crossEntropySum(Variable(constant: states), rows: nil, head: weight, labels: labels)
  }
}

extension Tape {
  /// Σ −log softmax(states·headᵀ)[label] over some rows of the states, nil for all.
  fileprivate func crossEntropySum(_ states: Variable, rows: [Int32]?, head: Parameter, labels: [Int32]) -> Double {
    let terms = HeadLossTerms(crossEntropyWeight: 1, distillationWeight: 0, temperature: 1)
    return headLoss(states, rows: rows, head: head, labels: labels, terms: terms, denominator: 1).crossEntropySum
  }
}
