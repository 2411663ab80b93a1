import Autograd
import Datasets
import Layers
import Models
import Objectives
import Tensors

/// The resolved objective of an optimizer step, shared by its passes.
struct StepLoss {
  let objective: DistillationObjective
  /// The terms on logits.
  let logits: LogitsPlan
  /// The terms inside the model.
  let inner: [InnerTerm]
  /// The weights of all terms in this step.
  let weights: [Double]
  /// The counts of the global batch.
  let counts: StepCounts

  init(_ objective: DistillationObjective, _ inner: [InnerTerm], step: Int, of steps: Int, counts: StepCounts) {
    self.objective = objective
    self.inner = inner
    self.counts = counts
    logits = objective.logitsPlan(step: step, of: steps, counts: counts)
    weights = objective.weights(step: step, of: steps)
  }

  /// The observer that adds the inner terms to a pass; nil without inner terms.
  ///
  /// - Parameter whole: the vectors of the global batch by the index of the term that compares it.
  func observer(_ batch: Batch, _ signals: [TeacherSignals?], _ whole: [Int: BatchVectors]) -> InnerTermObserver? {
    inner.isEmpty
      ? nil
      : InnerTermObserver(
        inner, signals: signals, offsets: batch.offsets, weights: weights, counts: counts, whole: whole)
  }

  /// Adds the terms of a student's forward pass to the losses of its tape, over the rows that the batch counts.
  ///
  /// - Parameters:
  ///   - signals: one per teacher of the step, for the same examples.
  ///   - observer: the observer of this pass.
  /// - Returns: the sum of each term over the pass, undivided.
  func add(
    of student: any Model, _ batch: Batch, _ signals: [TeacherSignals?], _ observer: InnerTermObserver?,
    _ context: ForwardContext
  ) -> [Double] {
    let teachers = signals.map { $0?.logits }
    let sums: [Double]
    if let student = student as? any LanguageModel {
      sums = add(of: student, batch, teachers, context)
    } else {
      let output = student.forward(batch, context)
      let loss = context.tape.logitsLoss(
        output, labels: batch.rowLabels, values: batch.values, signals: teachers, plan: logits)
      context.tape.addLoss(loss.loss)
      sums = loss.sums
    }
    guard let observer else { return sums }
    return zip(sums, observer.sums).map { $0 + $1 }
  }

  private func add(
    of student: any LanguageModel, _ batch: Batch, _ teachers: [TeacherLogits?], _ context: ForwardContext
  ) -> [Double] {
    let rows = batch.countedTokens
    var sums: [Double] = []
    _ = context.block(student.blocks.count - 1, student.states(batch, context)) { states, context in
      let loss = context.tape.headLoss(
        states, rows: rows, head: student.head, labels: rows.map { batch.targets[Int($0)] }, signals: teachers,
        plan: logits)
      context.tape.addLoss(loss.loss)
      sums = loss.sums
      return loss.loss
    }
    return sums
  }

  /// The loss of the step, from the means of its terms.
  func total(_ means: [Double]) -> Double { zip(weights, means).reduce(0) { $0 + ($1.0 == 0 ? 0 : $1.0 * $1.1) } }
}

extension LanguageModel {
  /// Σ −log p(target) over the predicted tokens of a batch, in inference.
  ///
  /// - Parameters:
  ///   - weights: copies that outlive the pass, see `Tape`.
  ///   - tapeObserver: loads and releases the weights of blocks.
  package func crossEntropySum(
    _ batch: Batch, precision: Precision, weights: BF16Weights = BF16Weights(),
    tapeObserver: (any TapeObserver)? = nil
  ) -> Double {
    let context = ForwardContext.inference(precision: precision, weights: weights, tapeObserver: tapeObserver)
    let rows = batch.countedTokens
    var sum = 0.0
    _ = context.block(blocks.count - 1, states(batch, context)) { states, context in
      sum = context.tape.crossEntropySum(
        states, rows: rows, head: self.head, labels: rows.map { batch.targets[Int($0)] })
      return states
    }
    return sum
  }
}

extension TeacherLogits {
  /// Σ −log softmax(logits_r)[label_r] over the rows; not for top-k targets.
  package func crossEntropySum(labels: [Int32]) -> Double {
    guard case .hidden(let states, let head) = self else {
      return Evaluator.crossEntropySum(materialized, labels)
    }
    let tape = Tape(recording: false, precision: head.dtype == .bfloat16 ? .bf16 : .fp32)
    let weight = Parameter("teacher's head", head, decays: false)
    return tape.crossEntropySum(Variable(constant: states), rows: nil, head: weight, labels: labels)
  }
}

extension Tape {
  /// Σ −log softmax(states·headᵀ)[label] over these rows of the states; nil for all rows.
  fileprivate func crossEntropySum(_ states: Variable, rows: [Int32]?, head: Parameter, labels: [Int32]) -> Double {
    headLoss(states, rows: rows, head: head, labels: labels, plan: .crossEntropySum).sums[0]
  }
}
