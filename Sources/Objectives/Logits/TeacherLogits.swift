import Tensors

/// A teacher's logits of R rows: plain tensors, so that no gradient can reach the teacher.
///
/// A row is an example of a classifier, or a predicted token of a language model, in batch order
/// (`Batch.countedTokens`).
package enum TeacherLogits: Sendable {
  /// Logits [R, C], before softmax and temperature; float32 or bf16.
  case logits(Tensor)
  /// The output states of the teacher's final norm, [R, h], and its head [C, h]: the logits are states · headᵀ,
  /// which the loss computes chunk by chunk.
  case hidden(Tensor, head: Tensor)
  /// The k largest logits of each row.
  case topK(TopKTargets)

  /// The logits [R, C] of all rows at once, for targets with few classes; not for top-k targets.
  package var materialized: Tensor {
    switch self {
    case .logits(let logits): return logits
    case .hidden(let states, let head):
      let logits = Tensor(uninitialized: [states.rows, head.rows])
      matrixMultiply(states.converted(to: .float32), head.converted(to: .float32), transposeB: true, into: logits)
      return logits
    case .topK: preconditionFailure("the logits of top-k targets are not all there")
    }
  }

  /// The head from which the logits are computed; nil for given logits.
  var head: Tensor? {
    if case .hidden(_, let head) = self { head } else { nil }
  }

  /// The top-k targets; nil for complete logits.
  package var best: TopKTargets? {
    if case .topK(let best) = self { best } else { nil }
  }

  /// C, or k for top-k targets.
  package var classCount: Int {
    switch self {
    case .logits(let logits): logits.columns
    case .hidden(_, let head): head.rows
    case .topK(let targets): targets.logits.columns
    }
  }

  /// R.
  package var rowCount: Int {
    switch self {
    case .logits(let logits): logits.rows
    case .hidden(let states, _): states.rows
    case .topK(let targets): targets.logits.rows
    }
  }
}

/// The k largest logits of each row, and the total weight of all other classes.
package struct TopKTargets: Sendable {
  /// Logits, [R, k], largest first.
  package let logits: Tensor
  /// Their classes, [R · k].
  package let classes: [Int32]
  /// log Σ exp(z_c / T) over the classes outside the top k, [R]; −∞ if k is the number of classes.
  package let logRest: [Float]
  /// T, the temperature of `logRest`.
  package let temperature: Float

  /// Creates the top k of R rows; `classes` has one element per element of `logits`, `logRest` one per row.
  package init(logits: Tensor, classes: [Int32], logRest: [Float], temperature: Float) {
    precondition(
      classes.count == logits.count && logRest.count == logits.rows,
      "\(classes.count) classes and \(logRest.count) rests for logits \(logits.shape)")
    self.logits = logits
    self.classes = classes
    self.logRest = logRest
    self.temperature = temperature
  }
}

extension TopKTargets {
  /// The targets of a range of rows.
  func rows(_ range: Range<Int>) -> TopKTargets {
    let k = logits.columns
    return TopKTargets(
      logits: logits.rows(range), classes: Array(classes[range.lowerBound * k..<range.upperBound * k]),
      logRest: Array(logRest[range]), temperature: temperature)
  }
}
