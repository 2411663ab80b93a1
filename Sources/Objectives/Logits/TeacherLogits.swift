import Tensors

/// A teacher's logits of R rows: plain tensors, so that no gradient can reach the teacher.
///
/// A row is an example of a classifier, or a predicted token of a language model, in the order of the batch
/// (`Batch.predictedRows`).
public enum TeacherLogits: Sendable {
  /// Logits [R, C], before softmax and temperature; float32 or bf16.
  case logits(Tensor)
  /// States behind the teacher's last norm, [R, h], and its head [C, h]: the logits are states · headᵀ, which the loss
  /// computes some rows at a time.
  case hidden(Tensor, head: Tensor)
  /// The k largest logits of each row.
  case topK(TopKTargets)

  /// The logits [R, C] of all rows at once, for targets of few classes; top-k targets have none.
  public var materialized: Tensor {
    switch self {
    case .logits(let logits): return logits
    case .hidden(let states, let head):
      let logits = Tensor(uninitialized: [states.rows, head.rows])
      matrixMultiply(states.converted(to: .float32), head.converted(to: .float32), transposeB: true, into: logits)
      return logits
    case .topK: preconditionFailure("the logits of top-k targets are not all there")
    }
  }

  /// The matrix that makes the logits, where they are still to be made.
  var head: Tensor? {
    if case .hidden(_, let head) = self { head } else { nil }
  }

  /// The k largest logits, where these are all that is known.
  public var best: TopKTargets? {
    if case .topK(let best) = self { best } else { nil }
  }

  /// C, or k where only the k largest are known.
  public var classCount: Int {
    switch self {
    case .logits(let logits): logits.columns
    case .hidden(_, let head): head.rows
    case .topK(let targets): targets.logits.columns
    }
  }

  /// R.
  public var rowCount: Int {
    switch self {
    case .logits(let logits): logits.rows
    case .hidden(let states, _): states.rows
    case .topK(let targets): targets.logits.rows
    }
  }
}

/// The k largest logits of each row, and what all others weigh together.
public struct TopKTargets: Sendable {
  /// Logits, [R, k], largest first.
  public let logits: Tensor
  /// Their classes, [R · k].
  public let classes: [Int32]
  /// log Σ exp(z_c / T) over the classes that are not among the k, [R]; −∞ where k is all of them.
  public let logRest: [Float]
  /// T, the temperature that `logRest` belongs to.
  public let temperature: Float

  /// The k best of R rows; `classes` has as many elements as `logits`, `logRest` one for each row.
  public init(logits: Tensor, classes: [Int32], logRest: [Float], temperature: Float) {
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
  /// The same of some rows.
  func rows(_ range: Range<Int>) -> TopKTargets {
    let k = logits.columns
    return TopKTargets(
      logits: logits.rows(range), classes: Array(classes[range.lowerBound * k..<range.upperBound * k]),
      logRest: Array(logRest[range]), temperature: temperature)
  }
}
