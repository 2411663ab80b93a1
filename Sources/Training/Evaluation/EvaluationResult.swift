import Datasets
import Foundation
import Platform

/// Exact results over a whole split, from counts and sums over all rows rather than averages of ranks.
package struct EvaluationResult: Sendable, Equatable {
  /// The right, predicted and true items of one type of entity, or of one label.
  package struct Part: Sendable, Equatable {
    /// The type or label.
    package let name: String
    /// Its right, predicted and true items.
    package let counts: MatchCounts

    /// Makes the counts of a type or label.
    package init(_ name: String, _ counts: MatchCounts) { (self.name, self.counts) = (name, counts) }
  }

  /// The kind of the task.
  package let kind: TaskKind
  /// confusion[label · k + prediction], counts; empty for a task without exclusive classes.
  package let confusion: [Int]
  /// k; 0 without a confusion.
  package let classCount: Int
  /// The mean of the loss with the targets: cross-entropy, squared difference, binary cross-entropy.
  package let loss: Double
  /// Rows with a target, or predicted tokens of documents; metrics are undefined for 0.
  package let count: Int
  /// The metrics that do not follow from confusion and loss; NaN where one is undefined.
  package let values: [Metric: Double]
  /// The types of entities, or the labels.
  package let parts: [Part]

  /// Creates the result of a classifier.
  package init(confusion: [Int], classCount: Int, loss: Double) {
    self.init(kind: .classification, confusion: confusion, classCount: classCount, loss: loss)
  }

  /// Creates the result of a task with classes.
  package init(
    kind: TaskKind, confusion: [Int], classCount: Int, loss: Double, values: [Metric: Double] = [:], parts: [Part] = []
  ) {
    (self.kind, self.confusion, self.classCount, self.loss) = (kind, confusion, classCount, loss)
    (self.values, self.parts) = (values, parts)
    count = confusion.reduce(0, +)
  }

  /// Creates the result of a task without exclusive classes.
  package init(kind: TaskKind, count: Int, loss: Double, values: [Metric: Double], parts: [Part] = []) {
    (self.kind, self.count, self.loss, self.values, self.parts) = (kind, count, loss, values, parts)
    (confusion, classCount) = ([], 0)
  }

  /// Creates the result of a language model.
  package init(predictedTokens: Int, loss: Double) {
    self.init(kind: .languageModeling, count: predictedTokens, loss: loss, values: [:])
  }

  /// Whether the loss with the targets is one of the task's figures.
  package var measuresLoss: Bool { kind.definition.metrics.contains(.loss) || isOfDocuments }
  /// Whether the result is over the tokens of documents.
  package var isOfDocuments: Bool { kind.definition.rows == .nextTokens }
  /// Rows whose largest logit is that of their label.
  package var correct: Int { (0..<classCount).reduce(0) { $0 + confusion[$1 * classCount + $1] } }
  /// Correct / count.
  package var accuracy: Double { count == 0 ? 0 : Double(correct) / Double(count) }
  /// exp(loss).
  package var perplexity: Double { exp(loss) }

  /// Rows of a class.
  package func support(_ label: Int) -> Int { confusion[label * classCount..<(label + 1) * classCount].reduce(0, +) }
  /// Predictions of a class.
  func predicted(_ label: Int) -> Int { (0..<classCount).reduce(0) { $0 + confusion[$1 * classCount + label] } }

  /// The value of a metric that is defined for the kind of task; NaN where these rows do not define it.
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
    default: return values[metric] ?? .nan
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
    switch kind.definition.targets {
    case .nextTokens: "perplexity \(fixed(perplexity, 4)) (loss \(fixed(loss, 4)), \(grouped(count)) tokens)"
    case .classes where values[.entityF1] == nil: "accuracy \(fixed(accuracy, 4)) (\(correct) of \(count))"
    default:
      kind.definition.metrics.prefix(3).filter { $0 != .loss }.map {
        "\($0.rawValue) \(value($0).isNaN ? "undefined" : fixed(value($0), 4))"
      }
        .joined(separator: ", ") + " (\(grouped(count)) \(kind.definition.unit))"
    }
  }

  /// The standard error of the accuracy: √(a(1−a)/n).
  package var standardError: Double { count == 0 ? 0 : (accuracy * (1 - accuracy) / Double(count)).squareRoot() }
}
