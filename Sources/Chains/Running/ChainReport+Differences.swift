import Datasets
import Platform
import Training

extension StepReport {
  /// The proportion of correct answers, for accuracy; nil for other metrics.
  package var proportion: Proportion? {
    guard metric == Metric.accuracy.rawValue, let correct, count > 0, (0...count).contains(correct) else { return nil }
    return Proportion(correct, of: count)
  }

  /// [low, high] of the 95 % interval; null for metrics without an interval.
  var intervalJSON: JSON { proportion?.intervalJSON ?? .null }
}

extension ChainReport {
  /// The interval of each accuracy, and for pairs of accuracies the difference with the smallest significant
  /// difference.
  ///
  /// Other metrics get no line, since their intervals do not follow from counts.
  var differences: [String] {
    let rows = steps.compactMap { step in step.proportion.map { (id: step.id, share: $0) } }
    if rows.isEmpty { return [] }
    let width = rows.map(\.id.count).max() ?? 0
    func padded(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(0, width - text.count))
    }
    var lines = ["95 % interval of each accuracy (Wilson's score):"]
    for row in rows {
      let interval = row.share.interval
      lines.append(
        "  \(padded(row.id, width))  \(fixed(interval.lowerBound, 4)) to \(fixed(interval.upperBound, 4))")
    }
    if rows.count < 2 { return lines }
    lines.append(
      "Differences in points, and the smallest that would say something (95 %, judged as of independent samples; a "
        + "paired test on the same examples can tell smaller ones):")
    for (before, after) in pairs(rows.count) {
      let (first, second) = (rows[before], rows[after])
      let difference = 100 * (second.share.value - first.share.value)
      let least = 100 * second.share.smallestDifference(to: first.share)
      let verdict = abs(difference) < least ? "says nothing" : "says something"
      lines.append(
        "  \(padded("\(second.id) - \(first.id)", 2 * width + 3))  \(difference < 0 ? "" : "+")\(fixed(difference, 1)) "
          + "of \(fixed(least, 1)): \(verdict)")
    }
    return lines
  }

  /// All pairs of up to four rows; for more rows, each row with the previous one.
  private func pairs(_ count: Int) -> [(Int, Int)] {
    if count > 4 { return (1..<count).map { ($0 - 1, $0) } }
    return (1..<count).flatMap { after in (0..<after).map { ($0, after) } }
  }
}
