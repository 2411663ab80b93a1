/// Figures of multi-label classification, in which each row has any number of labels; as scikit-learn computes them
/// with `zero_division=0`.
package struct LabelSetScores: Equatable, Sendable {
  /// The number of labels.
  package let labelCount: Int
  /// For each label the rows that have it rightly, as predicted and in the data, [labels, 3]; then the rows whose
  /// labels are all right, and all rows. Counts of parts of the data, such as those of ranks, add up element by
  /// element.
  package private(set) var counts: [Int]

  /// No rows yet.
  package init(labelCount: Int) {
    self.labelCount = labelCount
    counts = [Int](repeating: 0, count: 3 * labelCount + 2)
  }

  /// The scores with these counts, [3 · labels + 2]; another number of counts is a precondition failure.
  package init(labelCount: Int, counts: [Int]) {
    precondition(counts.count == 3 * labelCount + 2, "LabelSetScores: \(counts.count) counts, \(labelCount) labels")
    self.labelCount = labelCount
    self.counts = counts
  }

  /// Adds a row: for each label whether it is predicted, and whether the row has it; [labels].
  package mutating func add(predicted: [Bool], gold: [Bool]) {
    precondition(
      predicted.count == labelCount && gold.count == labelCount,
      "LabelSetScores: \(predicted.count) predicted and \(gold.count) gold for \(labelCount) labels")
    var isExact = true
    for label in 0..<labelCount {
      if predicted[label] != gold[label] { isExact = false }
      if predicted[label], gold[label] { counts[3 * label] += 1 }
      if predicted[label] { counts[3 * label + 1] += 1 }
      if gold[label] { counts[3 * label + 2] += 1 }
    }
    if isExact { counts[3 * labelCount] += 1 }
    counts[3 * labelCount + 1] += 1
  }

  /// The counts of a label.
  package func score(ofLabel label: Int) -> MatchCounts {
    MatchCounts(correct: counts[3 * label], predicted: counts[3 * label + 1], gold: counts[3 * label + 2])
  }

  /// All labels of all rows together.
  package var micro: MatchCounts { (0..<labelCount).reduce(MatchCounts()) { $0 + score(ofLabel: $1) } }

  /// The means over all labels; a label that is neither predicted nor in the data counts as 0.
  package var macro: MeanScores { MeanScores(over: (0..<labelCount).map(score)) }

  /// The rows that were added.
  package var rowCount: Int { counts[3 * labelCount + 1] }

  /// The share of rows whose labels are all right, none missing and none too many; 0 without rows.
  package var subsetAccuracy: Double {
    rowCount > 0 ? Double(counts[3 * labelCount]) / Double(rowCount) : 0
  }
}
