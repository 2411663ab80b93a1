import CKernels
import Tensors

/// A loss on the tape and its exact sum, for reporting.
package struct LossTerm {
  /// Σ rows / denominator, the scalar that backward starts from.
  package let loss: Variable
  /// Σ rows, in double precision, before division by the denominator.
  package let sum: Double

  /// A loss on the tape with its sum.
  package init(loss: Variable, sum: Double) {
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
  package func crossEntropy(_ logits: Variable, labels: [Int32], denominator: Double) -> LossTerm {
    // The kernel writes to the gradient of the label's class.
    precondition(
      labels.count == logits.value.rows && labels.allSatisfy { $0 < logits.value.columns },
      "\(labels.count) labels up to \(labels.max() ?? -1) for logits \(logits.shape)")
    return rowLoss(logits, denominator: denominator) { values, gradient, rows, columns in
      rtk_cross_entropy(values, gradient, logits.value.floats, labels, rows, columns)
    }
  }

  /// A loss that is a sum over rows and whose kernel computes value and gradient at once: Σ rows / denominator.
  ///
  /// - Parameter kernel: writes a value for each row, [R], and dΣ/dlogits, [R, C].
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
    let loss = self.loss(sum / denominator, of: logits, gradient: gradient, scale: Float(1 / denominator))
    return LossTerm(loss: loss, sum: sum)
  }

  /// A scalar whose gradient with respect to `x` is known already: scale · gradient.
  ///
  /// - Parameter gradient: of the shape of `x`, float32, for this call alone.
  package func loss(_ value: Double, of x: Variable, gradient: Tensor, scale: Float = 1) -> Variable {
    record(
      Tensor([Float(value)], []), from: [x], KnownGradientOperation(x: x.place, gradient: gradient, scale: scale))
  }
}

struct KnownGradientOperation: Operation {
  let x: VariablePlace
  let gradient: Tensor
  let scale: Float

  // The gradient is used once, so it is scaled in place.
  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    if scale * dy.scalar != 1 { rtk_scale(gradient.floats, scale * dy.scalar, gradient.count) }
    gradients.add(gradient, to: x)
  }
}
