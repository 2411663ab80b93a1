import Datasets
import Models
import Platform
import Training

/// What `evaluate` prints of a result, as text or as JSON.
struct EvaluationReport {
  private let result: EvaluationResult
  /// The model's own metric, printed first.
  private let metric: Metric
  private let labels: LabelNames

  init(_ result: EvaluationResult, metric: Metric, labels: LabelNames) {
    (self.result, self.metric, self.labels) = (result, metric, labels)
  }

  private var hasOneClass: Bool { result.kind.definition.rows == .examples && !result.confusion.isEmpty }

  var json: JSON {
    func figure(_ value: Double) -> JSON { value.isFinite ? .double(value) : .null }
    var object: [String: JSON] = [
      "metric": .string(metric.rawValue), "value": figure(result.value(metric)), "count": .int(result.count),
    ]
    if result.measuresLoss { object["loss"] = .double(result.loss) }
    for (metric, value) in result.values { object[metric.rawValue] = figure(value) }
    if !result.confusion.isEmpty {
      object["accuracy"] = .double(result.accuracy)
      object["correct"] = .int(result.correct)
      object["standard_error"] = .double(result.standardError)
      object["confusion"] = .array(result.confusion.map(JSON.int))
      object["interval"] = result.proportion?.intervalJSON ?? .null
    }
    if hasOneClass {
      object["f1_average"] = .string(result.f1Average)
      object["f1"] = .double(result.value(.f1))
      object["matthews_correlation"] = .double(result.value(.matthews))
      object["balanced_accuracy"] = .double(result.balancedAccuracy)
    }
    if !result.parts.isEmpty {
      object[result.kind.definition.rows == .tokens ? "entities" : "labels"] = .object(
        Dictionary(result.parts.map { ($0.name, EvaluationReport.json($0.counts)) }) { first, _ in first })
    }
    return .object(object)
  }

  private static func json(_ counts: MatchCounts) -> JSON {
    [
      "precision": .double(counts.precision), "recall": .double(counts.recall), "f1": .double(counts.f1),
      "correct": .int(counts.correct), "predicted": .int(counts.predicted), "count": .int(counts.gold),
    ]
  }

  var text: String {
    (figures.sorted { $0.0 == metric && $1.0 != metric }.map(\.1) + (hasOneClass ? confusionLines : partLines)).joined(
      separator: "\n")
  }

  /// One line for each metric.
  private var figures: [(Metric, String)] {
    let metrics = result.kind.definition.metrics(of: labels.names)
    let width = max(8, metrics.map { EvaluationReport.name($0).count }.max() ?? 0)
    return metrics.map { metric in
      let name = EvaluationReport.name(metric)
      return (metric, name + String(repeating: " ", count: width + 2 - name.count) + value(metric))
    }
  }

  private static func name(_ metric: Metric) -> String { metric == .matthews ? "matthews" : metric.rawValue }

  private func value(_ metric: Metric) -> String {
    let value = result.value(metric)
    if value.isNaN { return "not defined: the scores, or the targets, are all equal" }
    let number = fixed(value, 4)
    switch metric {
    case .accuracy: return "\(number) ± \(fixed(result.standardError, 4)) (\(result.correct) of \(result.count))"
    case .f1:
      let of = result.classCount == 2 ? "of \(labels.names.last ?? "1")" : "over \(result.classCount) classes"
      return "\(number) (\(result.f1Average)\(result.classCount == 2 ? ", " : " ")\(of))"
    case .spearman: return "\(number) (\(grouped(result.count)) examples)"
    case .microF1: return "\(number) (\(labels.names.count) labels, \(grouped(result.count)) examples)"
    default: return number
    }
  }

  private var confusionLines: [String] {
    var lines = ["predicted classes by label:"]
    for (row, name) in labels.names.enumerated() {
      let counts = result.confusion[row * result.classCount..<(row + 1) * result.classCount]
      lines.append("  \(name): \(counts.map(String.init).joined(separator: " "))")
    }
    if let interval = result.proportion?.interval {
      lines.append(
        "95 % interval of the accuracy: \(fixed(interval.lowerBound, 4)) to \(fixed(interval.upperBound, 4))")
    }
    return lines
  }

  /// A table of the types of entities, or of the labels.
  private var partLines: [String] {
    if result.parts.isEmpty { return [] }
    let width = result.parts.map(\.name.count).max() ?? 0
    return [String(repeating: " ", count: width + 2) + "precision  recall      f1  count"]
      + result.parts.map { part in
        let counts = part.counts
        let name = "  " + part.name + String(repeating: " ", count: width - part.name.count)
        let figures = [counts.precision, counts.recall, counts.f1].map { fixed($0, 4) }
        return "\(name)     \(figures[0])  \(figures[1])  \(figures[2])  \(grouped(counts.gold))"
      }
  }
}
