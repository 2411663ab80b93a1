/// How many items were found, and how many of those are right: precision, recall and F1 of one type or of several.
package struct MatchCounts: Equatable, Sendable {
  /// Items that are predicted and in the data.
  package var correct: Int
  /// Items that are predicted.
  package var predicted: Int
  /// Items in the data.
  package var gold: Int

  /// Makes the counts, each 0 or more; `correct` is at most the smaller of the others.
  package init(correct: Int = 0, predicted: Int = 0, gold: Int = 0) {
    self.correct = correct
    self.predicted = predicted
    self.gold = gold
  }

  /// correct / predicted; 0 if nothing is predicted.
  package var precision: Double { MatchCounts.ratio(correct, predicted) }

  /// correct / gold; 0 if there is nothing to find.
  package var recall: Double { MatchCounts.ratio(correct, gold) }

  /// The harmonic mean of precision and recall, 2 · correct / (predicted + gold); 0 if both are 0.
  package var f1: Double { MatchCounts.ratio(2 * correct, predicted + gold) }

  private static func ratio(_ part: Int, _ whole: Int) -> Double { whole > 0 ? Double(part) / Double(whole) : 0 }

  /// The sums of both counts.
  package static func + (left: MatchCounts, right: MatchCounts) -> MatchCounts {
    MatchCounts(
      correct: left.correct + right.correct, predicted: left.predicted + right.predicted, gold: left.gold + right.gold)
  }
}

/// Precision, recall and F1, each a mean over several types; all 0 for no type.
package struct MeanScores: Equatable, Sendable {
  /// The mean of the types' precision.
  package let precision: Double
  /// The mean of the types' recall.
  package let recall: Double
  /// The mean of the types' F1, which is not the F1 of the two means.
  package let f1: Double

  /// The means over `types`, all of equal weight.
  package init(over types: [MatchCounts]) {
    func mean(_ value: (MatchCounts) -> Double) -> Double {
      types.isEmpty ? 0 : types.reduce(0) { $0 + value($1) } / Double(types.count)
    }
    precision = mean(\.precision)
    recall = mean(\.recall)
    f1 = mean(\.f1)
  }
}
