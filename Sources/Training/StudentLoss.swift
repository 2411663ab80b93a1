import Autograd
import CKernels
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
      let loss = context.tape.headLoss(
        states, rows: rows, head: self.head, labels: rows.map { batch.targets[Int($0)] },
        terms: HeadLossTerms(crossEntropyWeight: 1, distillationWeight: 0, temperature: 1), denominator: 1)
      sum = loss.crossEntropySum
      return loss.loss
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
    return chunks(of: labels.indices.map(Int32.init)).reduce(0) { sum, rows in
      let range = Int(rows[0])..<Int(rows[0]) + rows.count
      let part = SoftTargets.hidden(states.rows(range), head: head)
      return sum + Evaluator.crossEntropySum(part.materialized, Array(labels[range]))
    }
  }
}

/// Neighbouring rows, so few at a time that the logits of all classes do not fill the memory.
private func chunks(of rows: [Int32]) -> [[Int32]] {
  stride(from: 0, to: rows.count, by: 256).map { Array(rows[$0..<min($0 + 256, rows.count)]) }
}
