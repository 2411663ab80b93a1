/// How well two lists of numbers agree, such as predicted and given scores.
package enum Correlation {
  /// Pearson's r: Σ(x − x̄)(y − ȳ) / √(Σ(x − x̄)² Σ(y − ȳ)²), in −1...1.
  ///
  /// It is nil where it is not defined: for fewer than two numbers, for a list whose numbers are all equal, and for
  /// numbers that are not finite. Lists of different lengths are a precondition failure.
  package static func pearson(_ x: [Double], _ y: [Double]) -> Double? {
    precondition(x.count == y.count, "Correlation: \(x.count) and \(y.count) numbers")
    guard let x = deviations(x), let y = deviations(y) else { return nil }
    var (xx, yy, xy) = (0.0, 0.0, 0.0)
    for index in x.indices {
      xx += x[index] * x[index]
      yy += y[index] * y[index]
      xy += x[index] * y[index]
    }
    return max(-1, min(1, xy / (xx.squareRoot() * yy.squareRoot())))
  }

  /// Pearson's r of single-precision numbers, computed in double precision.
  package static func pearson(_ x: [Float], _ y: [Float]) -> Double? { pearson(x.map(Double.init), y.map(Double.init)) }

  /// Spearman's ρ: Pearson's r of the ranks, equal numbers having the mean of their ranks.
  ///
  /// It is nil where it is not defined: for fewer than two numbers, for a list whose numbers are all equal, and for
  /// NaN.
  package static func spearman(_ x: [Double], _ y: [Double]) -> Double? {
    precondition(x.count == y.count, "Correlation: \(x.count) and \(y.count) numbers")
    if x.contains(where: \.isNaN) || y.contains(where: \.isNaN) { return nil }
    return pearson(ranks(x), ranks(y))
  }

  /// Spearman's ρ of single-precision numbers, computed in double precision.
  package static func spearman(_ x: [Float], _ y: [Float]) -> Double? {
    spearman(x.map(Double.init), y.map(Double.init))
  }

  /// The mean squared error Σ(x − y)² / n; 0 for empty lists.
  package static func meanSquaredError(_ x: [Double], _ y: [Double]) -> Double {
    precondition(x.count == y.count, "Correlation: \(x.count) and \(y.count) numbers")
    let sum = zip(x, y).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    return x.isEmpty ? 0 : sum / Double(x.count)
  }

  /// The mean squared error of single-precision numbers, computed in double precision.
  package static func meanSquaredError(_ x: [Float], _ y: [Float]) -> Double {
    meanSquaredError(x.map(Double.init), y.map(Double.init))
  }

  /// The rank of each number, from 1; equal numbers have the mean of their ranks. NaN is not allowed.
  package static func ranks(_ values: [Double]) -> [Double] {
    let order = values.indices.sorted { values[$0] < values[$1] }
    var ranks = [Double](repeating: 0, count: values.count)
    var start = 0
    while start < order.count {
      var end = start + 1
      while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
      // The ranks start + 1 to end.
      for place in order[start..<end] { ranks[place] = Double(start + 1 + end) / 2 }
      start = end
    }
    return ranks
  }

  /// The differences from the mean, scaled so that no square overflows; nil if all numbers are equal or one is not
  /// finite.
  private static func deviations(_ values: [Double]) -> [Double]? {
    guard values.count > 1, values.allSatisfy(\.isFinite), values.contains(where: { $0 != values[0] }) else {
      return nil
    }
    let largest = values.reduce(0) { max($0, abs($1)) }
    // A power of two scales without rounding, which would count where the differences are small.
    let exponent = max(-1000, min(1000, -Int(largest.exponent)))
    let scale = Double(sign: .plus, exponent: exponent, significand: 1)
    let scaled = values.map { $0 * scale }
    let mean = scaled.reduce(0, +) / Double(values.count)
    let differences = scaled.map { $0 - mean }
    let span = differences.reduce(0) { max($0, abs($1)) }
    return span > 0 ? differences.map { $0 / span } : nil
  }
}
