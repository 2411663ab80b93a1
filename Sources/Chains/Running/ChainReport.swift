import Platform

/// One row of the table at the end of a chain.
package struct StepReport: Sendable, Equatable {
  package var id: String
  /// Family and sizes in words, such as "bert L4 H256".
  package var model: String
  package var parameters: Int
  /// The first teacher's parameter count divided by the student's.
  package var ratio: Double
  /// The names of the teachers; nil for fine-tuning.
  package var teacher: String?
  package var metric: String
  /// The metric's value; undefined if `count` is 0.
  package var value: Double
  /// Correct examples; nil for metrics that do not count them.
  package var correct: Int?
  /// The averaging of f1: "binary" or "macro"; nil for other metrics.
  package var average: String? = nil
  /// Whether `count` is a number of predicted tokens.
  package var countsTokens = false
  /// What `count` counts.
  package var unit = "examples"
  /// Examples with a label, or predicted tokens, of the validation split.
  package var count: Int
  package var seconds: Double
  package var examplesPerSecond: Double
  /// nil for a step committed by a version that did not measure it.
  package var tokensPerSecond: Double?
  /// FLOPs of the optimizer steps over all ranks, in 10⁹ per second; nil for a step committed by a version that did
  /// not measure it.
  package var gigaflops: Double?
  /// Model FLOP utilisation: `gigaflops` divided by the rate of plain matrix products on the same ranks.
  package var utilisation: Double?
  /// Whether an earlier run committed the step.
  package var wasCommitted: Bool

  /// The row as JSON.
  package var json: JSON {
    [
      "step_id": .string(id), "model": .string(model), "parameters": .int(parameters), "ratio": .double(ratio),
      "teacher": teacher.map(JSON.string) ?? .null, "metric": .string(metric),
      "value": count == 0 ? .null : .double(value), "correct": correct.map(JSON.int) ?? .null,
      "average": average.map(JSON.string) ?? .null,
      "counts_tokens": .bool(countsTokens), "unit": .string(unit), "count": .int(count), "seconds": .double(seconds),
      "examples_per_s": .double(examplesPerSecond), "tokens_per_s": tokensPerSecond.map(JSON.double) ?? .null,
      "gflops": gigaflops.map(JSON.double) ?? .null,
      "mfu": utilisation.map(JSON.double) ?? .null, "committed_before": .bool(wasCommitted), "interval": intervalJSON,
    ]
  }

  /// The metric's value with four decimals; a dash if no validation row has a label.
  package var valueText: String { count == 0 ? "-" : fixed(value, 4) }

  /// "812 of 872"; for metrics without correct answers "872 examples" or "51,200 tokens".
  package var countText: String {
    if count == 0 { return "no labels" }
    return correct.map { "\($0) of \(count)" } ?? "\(grouped(count)) \(unit)"
  }

  /// The metric's name, with the averaging of f1: "f1 (macro)".
  package var metricText: String { average.map { "\(metric) (\($0))" } ?? metric }

  /// "213 examples/s", or for documents "5,120 tokens/s".
  package var rateText: String {
    guard countsTokens, let tokensPerSecond else { return "\(fixed(examplesPerSecond, 0)) examples/s" }
    return "\(grouped(tokensPerSecond)) tokens/s"
  }

  /// The report of a step that an earlier run committed.
  package static func committed(_ results: JSON, id: String) -> StepReport? {
    guard let model = results["model"]?.string, let parameters = results["parameters"]?.int,
      let ratio = results["ratio"]?.double, let metric = results["metric"]?.string,
      let count = results["count"]?.int, let value = results["value"]?.double ?? (count == 0 ? 0 : nil),
      let seconds = results["seconds"]?.double, let rate = results["examples_per_s"]?.double
    else { return nil }
    let countsTokens = results["counts_tokens"]?.bool ?? (metric == "perplexity")
    return StepReport(
      id: id, model: model, parameters: parameters, ratio: ratio, teacher: results["teacher"]?.string, metric: metric,
      value: value, correct: results["correct"]?.int, average: results["average"]?.string,
      countsTokens: countsTokens, unit: results["unit"]?.string ?? (countsTokens ? "tokens" : "examples"),
      count: count, seconds: seconds,
      examplesPerSecond: rate,
      tokensPerSecond: results["tokens_per_s"]?.double,
      gigaflops: results["gflops"]?.double, utilisation: results["mfu"]?.double, wasCommitted: true)
  }
}

/// The table of a whole chain.
package struct ChainReport: Sendable, Equatable {
  package var name: String
  /// One row per step of the chain, in order.
  package var steps: [StepReport]

  /// Creates the report of a chain with these steps.
  package init(name: String, steps: [StepReport]) { (self.name, self.steps) = (name, steps) }

  /// The table as aligned text, followed by the intervals and differences of accuracies.
  package var text: String {
    var rows = [
      ["step", "teacher", "model", "parameters", "ratio", "metric", "k of n", "seconds", "examples/s", "MFU"]
    ]
    for step in steps {
      rows.append([
        step.id, step.teacher ?? "-", step.model, grouped(step.parameters), fixed(step.ratio, 1) + "x",
        "\(step.metricText) \(step.valueText)", step.countText,
        step.wasCommitted ? "done before" : fixed(step.seconds, 1), fixed(step.examplesPerSecond, 0),
        step.utilisation.map { "\(fixed(100 * $0, 1)) %" } ?? "-",
      ])
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    let isText = [true, true, true, false, false, true, false, false, false, false]
    var lines = rows.map { row in
      row.indices.map { column -> String in
        let space = String(repeating: " ", count: widths[column] - row[column].count)
        return isText[column] ? row[column] + space : space + row[column]
      }.joined(separator: "  ")
    }
    lines.insert(widths.map { String(repeating: "-", count: $0) }.joined(separator: "  "), at: 1)
    return (lines + differences).joined(separator: "\n")
  }
}
