import CKernels
import Collectives
import Datasets
import Foundation
import Platform
import Tensors

/// The metrics by which models are compared.
package enum Metric: String, Sendable, CaseIterable {
  /// Correct / count.
  case accuracy
  /// F1 of class 1 for two classes, the mean of the classes' F1 for more.
  case f1
  /// Matthews' correlation coefficient, in Gorodkin's form for any number of classes (2004).
  case matthews = "matthews_correlation"
  /// Mean cross-entropy; lower is better.
  case loss
  /// exp(mean cross-entropy) over the predicted tokens of documents; lower is better.
  case perplexity

  /// Whether a is better than b.
  package func isBetter(_ a: Double, than b: Double) -> Bool {
    b.isNaN || (self == .loss || self == .perplexity ? a < b : a > b)
  }

  /// Whether the metric is defined for data of this kind.
  package func applies(to kind: TaskKind) -> Bool {
    switch self {
    case .accuracy, .f1, .matthews: kind != .languageModeling
    case .perplexity: kind == .languageModeling
    case .loss: true
    }
  }
}

/// Exact results over a whole split, from integer counts rather than averages of ranks.
package struct EvaluationResult: Sendable, Equatable {
  /// confusion[label · k + prediction], counts; empty for documents.
  package let confusion: [Int]
  /// k; 0 for documents.
  package let classCount: Int
  /// Mean cross-entropy.
  package let loss: Double
  /// Examples with a label, or predicted tokens of documents; metrics are undefined for 0.
  package let count: Int

  /// Creates the result of a classifier.
  package init(confusion: [Int], classCount: Int, loss: Double) {
    self.confusion = confusion
    self.classCount = classCount
    self.loss = loss
    count = confusion.reduce(0, +)
  }

  /// Creates the result of a language model.
  package init(predictedTokens: Int, loss: Double) {
    confusion = []
    classCount = 0
    self.loss = loss
    count = predictedTokens
  }

  /// Whether the result is over the tokens of documents.
  package var isOfDocuments: Bool { classCount == 0 }
  /// Examples whose largest logit is that of their label.
  package var correct: Int { (0..<classCount).reduce(0) { $0 + confusion[$1 * classCount + $1] } }
  /// Correct / count.
  package var accuracy: Double { count == 0 ? 0 : Double(correct) / Double(count) }
  /// exp(loss).
  package var perplexity: Double { exp(loss) }

  /// Examples of a class.
  package func support(_ label: Int) -> Int { confusion[label * classCount..<(label + 1) * classCount].reduce(0, +) }
  /// Predictions of a class.
  func predicted(_ label: Int) -> Int { (0..<classCount).reduce(0) { $0 + confusion[$1 * classCount + label] } }

  /// The value of a metric; for documents only loss and perplexity are defined.
  package func value(_ metric: Metric) -> Double {
    switch metric {
    case .accuracy: return accuracy
    case .loss: return loss
    case .perplexity: return perplexity
    case .f1:
      let classes = classCount == 2 ? [1] : Array(0..<classCount)
      return classes.reduce(0) { $0 + f1($1) } / Double(classes.count)
    case .matthews:
      let n = Double(count)
      let c = Double(correct)
      let (t, p) = ((0..<classCount).map { Double(support($0)) }, (0..<classCount).map { Double(predicted($0)) })
      func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
      let scale = ((n * n - dot(p, p)) * (n * n - dot(t, t))).squareRoot()
      return scale > 0 ? (c * n - dot(t, p)) / scale : 0
    }
  }

  /// The averaging of `f1`: "binary" for class 1 of two, or "macro" for the mean over all classes.
  package var f1Average: String { classCount == 2 ? "binary" : "macro" }

  /// The metric's name, with the averaging of f1: "f1 (macro)".
  package func title(of metric: Metric) -> String {
    metric == .f1 ? "\(metric.rawValue) (\(f1Average))" : metric.rawValue
  }

  private func f1(_ label: Int) -> Double {
    let all = support(label) + predicted(label)
    return all == 0 ? 0 : 2 * Double(confusion[label * classCount + label]) / Double(all)
  }

  /// The mean recall over the classes that occur; for a model that ignores its input 1/k if all k classes occur.
  package var balancedAccuracy: Double {
    let present = (0..<classCount).filter { support($0) > 0 }
    if present.isEmpty { return 0 }
    return present.reduce(0) { $0 + Double(confusion[$1 * classCount + $1]) / Double(support($1)) }
      / Double(present.count)
  }

  /// The result in a few words: "accuracy 0.9312 (812 of 872)", "perplexity 21.4812 (loss 3.0672, 51,200 tokens)".
  package var text: String {
    isOfDocuments
      ? "perplexity \(fixed(perplexity, 4)) (loss \(fixed(loss, 4)), \(grouped(count)) tokens)"
      : "accuracy \(fixed(accuracy, 4)) (\(correct) of \(count))"
  }

  /// The standard error of the accuracy: √(a(1−a)/n).
  package var standardError: Double { count == 0 ? 0 : (accuracy * (1 - accuracy) / Double(count)).squareRoot() }
}

/// Evaluates a model over a whole split, divided over the ranks; every labelled example counts exactly once.
package enum Evaluator {
  /// Maximum tokens of an evaluation batch: enough for full matrix product speed.
  static let batchTokens = 4096
  /// Maximum tokens of a batch of documents: fewer, since every token has logits.
  static let documentTokens = 2048

  /// Evaluates a classifier; collective, with the same result on every rank.
  ///
  /// - Parameters:
  ///   - data: the split; examples without a label are skipped.
  ///   - logits: [B, classes] for the given examples.
  ///   - stop: what a stop request interrupts, as for `requireNoStop`; nil lets the evaluation finish first.
  ///   - idle: runs in place of a batch on ranks with fewer batches, so that all ranks run equally many.
  /// Throws `.stopped` on all ranks, and `.input` for a label outside the model's classes.
  package static func evaluate(
    _ data: any ExampleSource, classCount: Int, stop: String? = nil, on communicator: any Communicator,
    logits: (_ samples: [Int]) throws -> Tensor, idle: () throws -> Void = {}
  ) throws -> EvaluationResult {
    let shards = labelledShards(of: data, ranks: communicator.size)
    var confusion = [Int](repeating: 0, count: classCount * classCount)
    var lossSum = 0.0
    let own = shards[communicator.rank]
    let rounds = stop.map { StopRounds($0, on: communicator) }
    for _ in own.count..<(shards.map(\.count).max() ?? 0) {
      try rounds?.begin()
      try idle()
    }
    for samples in own {
      try rounds?.begin()
      let output = try logits(samples)
      let labels = samples.map { data.label($0) }
      if let wrong = labels.first(where: { Int($0) >= classCount }) {
        throw RetortError(
          .input, "the class \(wrong) is outside the model's \(classCount) classes", at: "the data",
          remedy: "check the labels of the data")
      }
      lossSum += crossEntropySum(output, labels)
      for (row, label) in labels.enumerated() where label >= 0 {
        confusion[Int(label) * classCount + largest(output.rows(row..<row + 1))] += 1
      }
    }
    try rounds?.finish()
    confusion = try communicator.allReduce(confusion, .sum)
    lossSum = try communicator.allReduce(lossSum, .sum)
    let count = confusion.reduce(0, +)
    return EvaluationResult(
      confusion: confusion, classCount: classCount, loss: count == 0 ? 0 : lossSum / Double(count))
  }

  /// The labelled examples of a split, in batches, by rank.
  private static func labelledShards(of data: any ExampleSource, ranks: Int) -> [[[Int]]] {
    func shards(_ lengths: [Int32]) -> [[[Int]]] {
      Sampler.evaluationShards(
        count: lengths.count, lengths: lengths, ranks: ranks, batchSize: 64, batchTokens: batchTokens)
    }
    if data.labelledCount == data.count { return shards(data.lengths) }
    let rows = (0..<data.count).filter { data.label($0) >= 0 }
    return shards(rows.map { data.lengths[$0] }).map { batches in batches.map { batch in batch.map { rows[$0] } } }
  }

  /// The mean cross-entropy of a language model over every predicted token of the data; collective, with the same
  /// result on every rank.
  ///
  /// - Parameters:
  ///   - data: documents.
  ///   - crossEntropySum: Σ −log p(target) over the predicted tokens of the given examples.
  ///   - stop: what a stop request interrupts, as for `requireNoStop`; nil lets the evaluation finish first.
  ///   - idle: runs in place of a batch on ranks with fewer batches, so that all ranks run equally many.
  /// Throws `.stopped` on all ranks.
  package static func evaluate(
    documents data: any ExampleSource, stop: String? = nil, on communicator: any Communicator,
    crossEntropySum: (_ samples: [Int]) throws -> Double, idle: () throws -> Void = {}
  ) throws -> EvaluationResult {
    let shards = Sampler.evaluationShards(
      count: data.count, lengths: data.lengths, ranks: communicator.size, batchSize: 64,
      batchTokens: documentTokens)
    let rounds = stop.map { StopRounds($0, on: communicator) }
    for _ in shards[communicator.rank].count..<(shards.map(\.count).max() ?? 0) {
      try rounds?.begin()
      try idle()
    }
    let sum = try shards[communicator.rank].reduce(0.0) {
      try rounds?.begin()
      return try $0 + crossEntropySum($1)
    }
    try rounds?.finish()
    let total = try communicator.allReduce(sum, .sum)
    let count = (0..<data.count).reduce(0) { $0 + data.lossRows($1) }
    return EvaluationResult(predictedTokens: count, loss: count == 0 ? 0 : total / Double(count))
  }

  /// The index of the largest element; the first for ties.
  package static func largest(_ row: Tensor) -> Int {
    var best = 0
    for index in 1..<max(1, row.count) where row.floats[index] > row.floats[best] { best = index }
    return best
  }

  static func crossEntropySum(_ logits: Tensor, _ labels: [Int32]) -> Double {
    let gradient = Tensor(uninitialized: logits.shape)
    var values = [Double](repeating: 0, count: logits.rows)
    rtk_cross_entropy(&values, gradient.floats, logits.floats, labels, logits.rows, logits.columns)
    return values.reduce(0, +)
  }
}
