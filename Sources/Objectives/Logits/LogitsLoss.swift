import Autograd
import Tensors

/// The loss of a pass's terms on logits, on the tape, and the exact sums of the terms.
package struct LogitsLoss {
  /// Σ weight · (sum of the term), the scalar from which backward starts.
  package let loss: Variable
  /// Σ over rows of each term, unweighted, in double precision.
  package let sums: [Double]
}

extension Tape {
  /// The loss of a plan's terms on a model's outputs.
  ///
  /// - Parameters:
  ///   - logits: [R, C], float32.
  ///   - labels: R classes; negative for a row without a label.
  ///   - values: the targets of terms with numbers, [R, C]; NaN for a row without.
  ///   - signals: one per teacher of the step, R rows each.
  package func logitsLoss(
    _ logits: Variable, labels: [Int32], values: [Float] = [], signals: [TeacherLogits?], plan: LogitsPlan
  ) -> LogitsLoss {
    let (rows, classes) = (logits.value.rows, logits.value.columns)
    precondition(plan.sharedClasses == nil, "a classifier's loss on some of its classes")
    // The kernels index the gradient by the label, so an invalid label must not reach them.
    precondition(
      labels.count == rows && labels.allSatisfy { $0 < classes },
      "\(labels.count) labels up to \(labels.max() ?? -1) for logits \(logits.shape)")
    let teachers = ChunkTeachers(plan, signals, rows: rows)
    // Top-k kernels overwrite the logits of the listed classes, so they work on a copy.
    let scores = logits.value.copy()
    let work = teachers.work(0..<rows, labels: labels[...], classes: classes) { states, head in
      states.converted(to: head.dtype == .bfloat16 ? .bfloat16 : .float32)
    }
    work.add(scores, 0..<classes)
    var (sums, total) = work.finish([0..<classes]) { _ in scores }
    let isLearnt = isRecording && logits.needsGradient && plan.hasGradient
    let gradient = Tensor(uninitialized: isLearnt ? logits.shape : [0, classes])
    if isLearnt { work.gradient(of: scores, 0..<classes, into: gradient) }
    for term in plan.valueTerms {
      let sum = term.loss.sum(logits.value, values, factor: term.weight, into: isLearnt ? gradient : nil)
      sums[term.term] += sum
      total += term.weight * sum
    }
    guard isLearnt else { return LogitsLoss(loss: Variable(constant: Tensor([Float(total)], [])), sums: sums) }
    return LogitsLoss(loss: loss(total, of: logits, gradient: gradient), sums: sums)
  }

  /// The loss of a plan's terms on logits = states·headᵀ, without storing all logits at once.
  ///
  /// - Parameters:
  ///   - states: [T, h].
  ///   - rows: the R distinct rows of the states that count; nil for all.
  ///   - head: [V, h]; its gradient, if present, has the shape of the value.
  ///   - labels: R classes; a negative label excludes the row from the cross-entropy.
  ///   - signals: one per teacher of the step, R rows each.
  /// The gradients are computed here, chunk by chunk while the logits exist, so the result must be a loss from which
  /// `backward` starts: no later operation may scale it. A pass that does not record computes only the sums. In bf16
  /// precision states, head and logit gradients are rounded once; logits, softmax and losses are f32.
  package func headLoss(
    _ states: Variable, rows: [Int32]? = nil, head: Parameter, labels: [Int32], signals: [TeacherLogits?] = [],
    plan: LogitsPlan
  ) -> LogitsLoss {
    // A stage with inner terms only needs no logits.
    if plan.crossEntropies.isEmpty, plan.parts.isEmpty {
      return LogitsLoss(loss: Variable(constant: .zeros([])), sums: [Double](repeating: 0, count: plan.termCount))
    }
    return HeadLossWork(self, states, rows: rows, head: head, labels: labels, signals: signals, plan: plan).run()
  }
}

/// Passes the gradient of the states on; `headLoss` has already added the head's gradient.
struct HeadLossOperation: Operation {
  let states: VariablePlace
  let gradient: Tensor?
  let head: Parameter

  var parameters: [Parameter] { [head] }

  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    precondition(dy.scalar == 1, "the loss of a head was multiplied by \(dy.scalar) after its gradients were made")
    if let gradient { gradients.add(gradient, to: states) }
  }
}
