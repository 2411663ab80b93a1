import Tensors

/// The teachers' logits for the rows of a pass, by chunks of rows.
struct ChunkTeachers {
  private let plan: LogitsPlan
  private let signals: [TeacherLogits?]
  /// The k largest logits; nil unless a teacher has only these.
  private let best: TopKTargets?

  /// - Parameter signals: one per teacher of the step, R rows each; nil for a teacher that no term reads.
  init(_ plan: LogitsPlan, _ signals: [TeacherLogits?], rows: Int) {
    for signal in signals {
      precondition(signal.map { $0.rowCount == rows } ?? true, "\(signal?.rowCount ?? 0) rows of a teacher for \(rows)")
    }
    self.plan = plan
    self.signals = signals
    best = signals.lazy.compactMap { $0?.best }.first
    if let best, let part = plan.parts.first(where: { $0.temperature != best.temperature }) {
      preconditionFailure("a top-k at temperature \(best.temperature) in a loss at \(part.temperature)")
    }
  }

  /// Runs `body` with the teachers' heads in memory.
  func whileInMemory(_ body: () -> Void) { ChunkTeachers.whileInMemory(signals.compactMap { $0?.head }[...], body) }

  private static func whileInMemory(_ heads: ArraySlice<Tensor>, _ body: () -> Void) {
    guard let first = heads.first else { return body() }
    first.whileInMemory { whileInMemory(heads.dropFirst(), body) }
  }

  /// The work on a chunk of rows.
  ///
  /// - Parameter operand: the chunk's rows of states in the format that a product with the head reads.
  func work(
    _ part: Range<Int>, labels: ArraySlice<Int32>, classes: Int, operand: (_ states: Tensor, _ head: Tensor) -> Tensor
  ) -> RowLossWork {
    var single: [Int: TargetLogits] = [:]
    func logits(_ teacher: Int) -> TargetLogits {
      if let made = single[teacher] { return made }
      let made: TargetLogits
      switch signals[teacher] {
      case .logits(let logits): made = TargetLogits(given: logits.rows(part), classes: plan.sharedClasses)
      case .hidden(let states, let head):
        made = TargetLogits(states: operand(states, head), head: head, classes: plan.sharedClasses)
      case .topK, nil: preconditionFailure("teacher \(teacher) has not all its logits")
      }
      single[teacher] = made
      return made
    }
    let all = signals.indices
    var wholes: [Int: Tensor] = [:]
    func whole(_ teacher: Int) -> Tensor {
      if let made = wholes[teacher] { return made }
      let made = logits(teacher).whole(rows: part.count, computing: true)
      wholes[teacher] = made
      return made
    }
    var targets: [LogitsTarget: TargetLogits] = [:]
    if best == nil {
      for target in Set(plan.parts.map(\.target)) {
        switch target {
        case .labels: break
        case .teacher(let teacher): targets[target] = logits(teacher)
        case .meanLogits:
          targets[target] = TargetLogits(
            given: TargetLogits.meanLogits(all.map(whole), weights: plan.teacherWeights))
        case .meanProbabilities(let temperature):
          targets[target] = TargetLogits(
            given: TargetLogits.meanProbabilities(
              all.map(whole), weights: plan.teacherWeights, temperature: temperature))
        }
      }
    }
    return RowLossWork(
      plan, labels: labels, classes: classes, targets: targets, best: best?.rows(part),
      shares: shares(labels) { whole($0) })
  }

  /// The teachers' shares by row, for the parts that weight teachers by confidence.
  private func shares(_ labels: ArraySlice<Int32>, _ whole: (Int) -> Tensor) -> [Int: [Double]] {
    let parts = plan.parts.enumerated().filter(\.element.byConfidence)
    if parts.isEmpty { return [:] }
    let certainties = signals.indices.map { teacher in
      TargetLogits.confidence(whole(teacher), labels: labels).map { $0 * plan.teacherWeights[teacher] }
    }
    let totals = labels.indices.map { row in
      certainties.reduce(0) { $0 + $1[row - labels.startIndex] }
    }
    return Dictionary(
      parts.compactMap { index, part in
        guard case .teacher(let teacher) = part.target else { return nil }
        let shares = zip(certainties[teacher], totals).map { own, total in
          // If no teacher gives the label any probability, the row uses the configured teacher weights.
          total > 0 ? own / total : plan.teacherWeights[teacher]
        }
        return (index, shares)
      }
    ) { first, _ in first }
  }
}
