import Collectives
import Platform

/// The values that ranks sum at the end of an optimizer step, in one allreduce.
struct StepTotals: Equatable {
  /// Σ of each term of the objective over this rank's rows, undivided.
  var terms: [Double]
  /// Σ gradient² over the elements that this rank owns.
  var squaredGradient = 0.0
  /// Ranks that were asked to stop.
  var stopRequests = 0.0
  /// FLOPs of the teachers.
  var teacherFLOPs = 0.0

  init(terms: Int) { self.terms = [Double](repeating: 0, count: terms) }

  private static var others: [WritableKeyPath<StepTotals, Double>] {
    [\.squaredGradient, \.stopRequests, \.teacherFLOPs]
  }

  /// Adds the terms of a pass.
  mutating func add(_ sums: [Double]) { for (term, sum) in sums.enumerated() { terms[term] += sum } }

  /// The totals over all ranks; collective.
  func summed(on grid: RankGrid) throws -> StepTotals {
    let words = try grid.sum(terms + StepTotals.others.map { self[keyPath: $0] })
    var totals = StepTotals(terms: terms.count)
    totals.terms = Array(words.prefix(terms.count))
    for (place, path) in StepTotals.others.enumerated() { totals[keyPath: path] = words[terms.count + place] }
    return totals
  }
}
