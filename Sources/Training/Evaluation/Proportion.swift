import Platform

/// A share of correct answers, k of n, and its uncertainty.
package struct Proportion: Sendable, Equatable {
  /// k, the correct answers.
  package let correct: Int
  /// n, all answers.
  package let count: Int

  /// Makes the proportion k of n; n is at least 1.
  package init(_ correct: Int, of count: Int) {
    self.correct = correct
    self.count = count
  }

  /// The quantile of the normal distribution with 95 % between −z and z.
  static let z = 1.959963984540054

  /// k / n.
  package var value: Double { Double(correct) / Double(max(1, count)) }

  /// The 95 % interval of the share by Wilson's score (1927), which is also accurate for small n and near 0 and 1:
  /// (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n).
  package var interval: ClosedRange<Double> {
    if count <= 0 { return 0...1 }
    let (n, z, p) = (Double(count), Proportion.z, value)
    let middle = p + z * z / (2 * n)
    let half = z * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
    let scale = 1 + z * z / n
    // The ends of 0 of n and n of n are exact.
    let low = correct == 0 ? 0 : max(0, (middle - half) / scale)
    return low...(correct == count ? 1 : min(1, (middle + half) / scale))
  }

  /// [low, high] of the interval.
  package var intervalJSON: JSON { [.double(interval.lowerBound), .double(interval.upperBound)] }

  /// The smallest significant difference from another share (95 %), for independent samples:
  /// z √(p₁(1−p₁)/(n₁+2) + p₂(1−p₂)/(n₂+2)) with p = (k+1)/(n+2) (Agresti and Caffo, 2000), which is above 0 even if
  /// all answers are correct.
  ///
  /// Two models that answer the same examples mostly agree, so a paired test of their answers detects smaller
  /// differences.
  package func smallestDifference(to other: Proportion) -> Double {
    func variance(_ share: Proportion) -> Double {
      let n = Double(share.count) + 2
      let p = (Double(share.correct) + 1) / n
      return p * (1 - p) / n
    }
    return Proportion.z * (variance(self) + variance(other)).squareRoot()
  }
}

extension EvaluationResult {
  /// The accuracy as a share of the rows; nil without exclusive classes and without rows.
  package var proportion: Proportion? {
    confusion.isEmpty || count == 0 ? nil : Proportion(correct, of: count)
  }
}
