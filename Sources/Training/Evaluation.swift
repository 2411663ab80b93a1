import CKernels
import Collectives
import Datasets
import Foundation
import Platform
import Tensors

/// The figures by which models are compared.
public enum Metric: String, Sendable, CaseIterable {
  /// Correct / count.
  case accuracy
  /// F1 of class 1 with two classes, the mean of the classes' F1 with more.
  case f1
  /// Matthews' correlation coefficient (its form for any number of classes: Gorodkin, 2004).
  case matthews = "matthews_correlation"
  /// Mean cross-entropy; the lower the better.
  case loss
  /// exp(mean cross-entropy) over the predicted tokens of documents; the lower the better.
  case perplexity

  /// Whether a is better than b.
  public func isBetter(_ a: Double, than b: Double) -> Bool {
    b.isNaN || (self == .loss || self == .perplexity ? a < b : a > b)
  }

  /// Whether there is such a figure for data of this kind.
  public func applies(to kind: TaskKind) -> Bool {
    switch self {
    case .accuracy, .f1, .matthews: kind != .languageModeling
    case .perplexity: kind == .languageModeling
    case .loss: true
    }
  }
}

/// Exact results over a whole split: integer counts, so no rank's average enters.
public struct EvaluationResult: Sendable, Equatable {
  /// confusion[label · k + prediction], counts; empty for documents.
  public let confusion: [Int]
  /// k; 0 for documents.
  public let classCount: Int
  /// Mean cross-entropy.
  public let loss: Double
  /// Examples with a label; of documents their predicted tokens. Where it is 0 there are no figures.
  public let count: Int

  /// The result of a classifier.
  public init(confusion: [Int], classCount: Int, loss: Double) {
    self.confusion = confusion
    self.classCount = classCount
    self.loss = loss
    count = confusion.reduce(0, +)
  }

  /// The result of a language model.
  public init(predictedTokens: Int, loss: Double) {
    confusion = []
    classCount = 0
    self.loss = loss
    count = predictedTokens
  }

  /// Whether it is about the tokens of documents.
  public var isOfDocuments: Bool { classCount == 0 }
  /// Examples whose largest logit is that of their label.
  public var correct: Int { (0..<classCount).reduce(0) { $0 + confusion[$1 * classCount + $1] } }
  /// Correct / count.
  public var accuracy: Double { count == 0 ? 0 : Double(correct) / Double(count) }
  /// exp(loss).
  public var perplexity: Double { exp(loss) }

  /// Examples of a class.
  public func support(_ label: Int) -> Int { confusion[label * classCount..<(label + 1) * classCount].reduce(0, +) }
  /// Predictions of a class.
  func predicted(_ label: Int) -> Int { (0..<classCount).reduce(0) { $0 + confusion[$1 * classCount + label] } }

  /// The figure by its name; of documents there are the loss and the perplexity only.
  public func value(_ metric: Metric) -> Double {
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

  /// Over what `f1` is a mean: "binary", of class 1 of two, or "macro", of all classes alike.
  public var f1Average: String { classCount == 2 ? "binary" : "macro" }

  /// What a figure is called where its name alone leaves open how it is made: "f1 (macro)".
  public func title(of metric: Metric) -> String {
    metric == .f1 ? "\(metric.rawValue) (\(f1Average))" : metric.rawValue
  }

  private func f1(_ label: Int) -> Double {
    let all = support(label) + predicted(label)
    return all == 0 ? 0 : 2 * Double(confusion[label * classCount + label]) / Double(all)
  }

  /// The mean of the classes' recalls over the classes that occur; 1/k for a model that ignores its input.
  public var balancedAccuracy: Double {
    let present = (0..<classCount).filter { support($0) > 0 }
    if present.isEmpty { return 0 }
    return present.reduce(0) { $0 + Double(confusion[$1 * classCount + $1]) / Double(support($1)) }
      / Double(present.count)
  }

  /// The figure in a few words: "accuracy 0.9312 (812 of 872)", "perplexity 21.4812 (loss 3.0672, 51,200 tokens)".
  public var text: String {
    isOfDocuments
      ? "perplexity \(fixed(perplexity, 4)) (loss \(fixed(loss, 4)), \(grouped(count)) tokens)"
      : "accuracy \(fixed(accuracy, 4)) (\(correct) of \(count))"
  }

  /// The standard error of the accuracy: √(a(1−a)/n).
  public var standardError: Double { count == 0 ? 0 : (accuracy * (1 - accuracy) / Double(count)).squareRoot() }
}

/// Evaluates a model over a whole split, shared out over the ranks; every example with a label counts exactly once.
public enum Evaluator {
  /// Tokens that one evaluation batch may have: enough for full matrix multiply speed.
  static let batchTokens = 4096
  /// Tokens of documents that one may have: fewer, since each of them has logits.
  static let documentTokens = 2048

  /// - Parameters:
  ///   - data: examples without a label are left out.
  ///   - logits: [B, classes] for some examples of it.
  ///   - stop: what a request to stop interrupts, as for `requireNoStop`; nil: nothing, the evaluation ends first.
  ///   - idle: what a rank does instead, so that all do something equally often.
  /// Collective; every rank gets the same result. Throws `.stopped` on all ranks.
  public static func evaluate(
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

  /// The labelled examples of a split in batches, by rank.
  private static func labelledShards(of data: any ExampleSource, ranks: Int) -> [[[Int]]] {
    func shards(_ lengths: [Int32]) -> [[[Int]]] {
      Sampler.evaluationShards(
        count: lengths.count, lengths: lengths, ranks: ranks, batchSize: 64, batchTokens: batchTokens)
    }
    if data.labelledCount == data.count { return shards(data.lengths) }
    let rows = (0..<data.count).filter { data.label($0) >= 0 }
    return shards(rows.map { data.lengths[$0] }).map { batches in batches.map { batch in batch.map { rows[$0] } } }
  }

  /// The cross-entropy of a language model, a mean over every predicted token of the data.
  ///
  /// - Parameters:
  ///   - data: documents.
  ///   - crossEntropySum: Σ −log p(target) over the predicted tokens of some examples.
  ///   - stop: what a request to stop interrupts, as for `requireNoStop`; nil: nothing, the evaluation ends first.
  ///   - idle: what a rank does instead, so that all do something equally often.
  /// Collective; every rank gets the same result. Throws `.stopped` on all ranks.
  public static func evaluate(
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

  /// The index of the largest element; the first of equals.
  public static func largest(_ row: Tensor) -> Int {
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
