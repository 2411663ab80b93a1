import CKernels
import Tensors

/// A loss on the tape and its exact sum, for reporting.
public struct LossTerm {
  /// Σ rows / denominator, the scalar that backward starts from.
  public let loss: Variable
  /// Σ rows, in double precision, before division by the denominator.
  public let sum: Double

  /// A loss on the tape with its sum.
  public init(loss: Variable, sum: Double) {
    self.loss = loss
    self.sum = sum
  }
}

extension Tape {
  /// Cross-entropy: Σ_r −log softmax(logits_r)[label_r] / denominator.
  ///
  /// - Parameters:
  ///   - logits: [R, C], not probabilities.
  ///   - labels: R class numbers; a negative one leaves its row out.
  ///   - denominator: the count over all ranks and micro-batches that the step divides by.
  public func crossEntropy(_ logits: Variable, labels: [Int32], denominator: Double) -> LossTerm {
    // The kernel writes to the gradient of the label's class.
    precondition(
      labels.count == logits.value.rows && labels.allSatisfy { $0 < logits.value.columns },
      "\(labels.count) labels up to \(labels.max() ?? -1) for logits \(logits.shape)")
    return rowLoss(logits, denominator: denominator) { values, gradient, rows, columns in
      rtk_cross_entropy(values, gradient, logits.value.floats, labels, rows, columns)
    }
  }

  /// Forward KL divergence: T²·Σ_r KL(softmax(teacher_r/T) ‖ softmax(student_r/T)) / denominator (Hinton et al., 2015).
  ///
  /// - Parameters:
  ///   - student: logits [R, C].
  ///   - teacher: logits [R, C], a plain tensor: no gradient reaches a teacher.
  ///   - temperature: T > 0.
  ///   - weights: R factors, or nil for 1; a row of weight 0 is left out.
  ///   - denominator: the count over all ranks and micro-batches that the step divides by.
  public func forwardKL(
    student: Variable, teacher: Tensor, temperature: Float, weights: [Float]? = nil, denominator: Double
  ) -> LossTerm {
    precondition(student.shape == teacher.shape, "KL of student logits \(student.shape) and teacher's \(teacher.shape)")
    return rowLoss(student, denominator: denominator) { values, gradient, rows, columns in
      func run(_ weights: UnsafePointer<Float>?) {
        rtk_forward_kl(
          values, gradient, student.value.floats, teacher.floats, weights, rows, columns, temperature)
      }
      if let weights { weights.withUnsafeBufferPointer { run($0.baseAddress) } } else { run(nil) }
    }
  }

  /// Forward KL divergence from a teacher of which the k best classes are known: that of these and one bucket for all
  /// others, which is never negative and at most the whole.
  ///
  /// - Parameters:
  ///   - student: logits [R, C].
  ///   - teacher: the k best of R rows at the temperature T.
  ///   - temperature: T > 0.
  ///   - denominator: the count over all ranks and micro-batches that the step divides by.
  public func forwardKL(
    student: Variable, teacher: TopKTargets, temperature: Float, denominator: Double
  ) -> LossTerm {
    precondition(
      student.value.rows == teacher.logits.rows && teacher.temperature == temperature,
      "KL at \(temperature) of student logits \(student.shape) and a teacher's \(teacher.logits.shape) best at "
        + "\(teacher.temperature)")
    let (logits, gradient) = (student.value.copy(), Tensor(uninitialized: student.shape))
    let rows = HeadRows(
      labels: repeatElement(-1, count: logits.rows), best: teacher, hasTeacher: false)
    let terms = HeadLossTerms(crossEntropyWeight: 0, distillationWeight: 1, temperature: Double(temperature))
    rows.add(logits, nil, first: 0, temperature: temperature)
    let sum = rows.finish(terms, denominator: 1).soft
    rows.gradient(of: logits, nil, into: gradient, first: 0, terms: terms, denominator: 1)
    return term(sum, gradient, of: student, denominator: denominator)
  }

  /// A loss that is a sum over rows and whose kernel computes value and gradient at once.
  private func rowLoss(
    _ logits: Variable, denominator: Double,
    _ kernel: (UnsafeMutablePointer<Double>, UnsafeMutablePointer<Float>, Int, Int) -> Void
  ) -> LossTerm {
    let gradient = Tensor(uninitialized: logits.shape)
    var values = [Double](repeating: 0, count: logits.value.rows)
    values.withUnsafeMutableBufferPointer {
      if let start = $0.baseAddress { kernel(start, gradient.floats, logits.value.rows, logits.value.columns) }
    }
    return term(values.reduce(0, +), gradient, of: logits, denominator: denominator)
  }

  private func term(_ sum: Double, _ gradient: Tensor, of logits: Variable, denominator: Double) -> LossTerm {
    let output = Tensor([Float(sum / denominator)], [])
    let operation = RowLossOperation(logits: logits, gradient: gradient, scale: Float(1 / denominator))
    return LossTerm(loss: record(output, from: [logits], operation), sum: sum)
  }

  /// Σ_i weights_i · terms_i, all scalars.
  public func weightedSum(_ terms: [(weight: Float, term: Variable)]) -> Variable {
    let total = terms.reduce(Float(0)) { $0 + $1.weight * $1.term.value.scalar }
    return record(Tensor([total], []), from: terms.map(\.term), WeightedSumOperation(terms: terms))
  }
}

struct RowLossOperation: Operation {
  let logits: Variable
  let gradient: Tensor
  let scale: Float

  // The kernel left dΣ/dlogits in `gradient`; it is used once, so it is scaled in place.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    rtk_scale(gradient.floats, scale * dy.scalar, gradient.count)
    gradients.add(gradient, to: logits)
  }
}

struct WeightedSumOperation: Operation {
  let terms: [(weight: Float, term: Variable)]

  // dterm_i = weight_i · dy
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    for (weight, term) in terms { gradients.add(Tensor([weight * dy.scalar], []), to: term) }
  }
}
