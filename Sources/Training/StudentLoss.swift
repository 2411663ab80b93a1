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
    let states = context.tape.selectRows(student.states(batch, context), rows)
    let logits = context.tape.linear(states, weight: student.head, bias: nil, wide: true)
    return self(
      logits, signals: signals, labels: rows.map { batch.targets[Int($0)] }, denominator: denominator,
      on: context.tape)
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
    let states = self.states(batch, context)
    return chunks(of: batch.predictedRows).reduce(0) { sum, rows in
      let logits = context.tape.linear(context.tape.selectRows(states, rows), weight: head, bias: nil, wide: true)
      return sum + Evaluator.crossEntropySum(logits.value, rows.map { batch.targets[Int($0)] })
    }
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
