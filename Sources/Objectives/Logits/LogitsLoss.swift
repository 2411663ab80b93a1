import Autograd
import Tensors

/// The terms on logits of a pass, on the tape, and their exact sums.
package struct LogitsLoss {
  /// Σ weight · (sum of the term), the scalar that backward starts from.
  package let loss: Variable
  /// Σ over rows of each term, unweighted, in double precision.
  package let sums: [Double]
}

extension Tape {
  /// The terms of a plan on the logits of a classifier.
  ///
  /// - Parameters:
  ///   - logits: [R, C], float32.
  ///   - labels: R classes; −1 where a row has none.
  ///   - signals: of the step's teachers, R rows each.
  package func logitsLoss(
    _ logits: Variable, labels: [Int32], signals: [TeacherLogits?], plan: LogitsPlan
  ) -> LogitsLoss {
    let (rows, classes) = (logits.value.rows, logits.value.columns)
    // The kernels write to the gradient of the label's class.
    precondition(
      labels.count == rows && labels.allSatisfy { $0 < classes },
      "\(labels.count) labels up to \(labels.max() ?? -1) for logits \(logits.shape)")
    let teachers = ChunkTeachers(plan, signals, rows: rows)
    // A top-k leaves the classes that it names out of the logits.
    let scores = logits.value.copy()
    let work = teachers.work(0..<rows, labels: labels[...], classes: classes) { states, head in
      states.converted(to: head.dtype == .bfloat16 ? .bfloat16 : .float32)
    }
    work.add(scores, 0..<classes)
    let (sums, total) = work.finish([0..<classes]) { _ in scores }
    guard isRecording, logits.needsGradient, plan.hasGradient else {
      return LogitsLoss(loss: Variable(constant: Tensor([Float(total)], [])), sums: sums)
    }
    let gradient = Tensor(uninitialized: logits.shape)
    work.gradient(of: scores, 0..<classes, into: gradient)
    return LogitsLoss(loss: loss(total, of: logits, gradient: gradient), sums: sums)
  }

  /// The terms of a plan on logits = states·headᵀ, without ever holding all logits.
  ///
  /// - Parameters:
  ///   - states: [T, h].
  ///   - rows: which R of the states count, each once; nil for all.
  ///   - head: [V, h]; its gradient, if it has one, is of the shape of the value.
  ///   - labels: R classes; a negative one leaves the cross-entropy of its row out.
  ///   - signals: of the step's teachers, R rows each.
  /// The gradients are computed here already, chunk by chunk while the logits are there, since nothing can follow that
  /// would change them: so the result must be a loss that `backward` starts from. A pass that does not record computes
  /// the sums alone. In a pass of precision bf16 states, head and the gradients of logits are rounded once, and logits,
  /// softmax and losses are f32.
  package func headLoss(
    _ states: Variable, rows: [Int32]? = nil, head: Parameter, labels: [Int32], signals: [TeacherLogits?] = [],
    plan: LogitsPlan
  ) -> LogitsLoss {
    // A stage that trains inner values alone needs no logits.
    if plan.crossEntropies.isEmpty, plan.parts.isEmpty {
      return LogitsLoss(loss: Variable(constant: .zeros([])), sums: [Double](repeating: 0, count: plan.termCount))
    }
    return HeadLossWork(self, states, rows: rows, head: head, labels: labels, signals: signals, plan: plan).run()
  }
}

/// Hands on the gradient of the states; the head has its own already.
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
