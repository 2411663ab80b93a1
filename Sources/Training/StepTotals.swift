import Collectives
import Platform

/// What ranks add up at the end of an optimizer step, in one allreduce.
struct StepTotals: Equatable {
  /// Σ of each term of the objective over the rows of a rank, undivided.
  var terms: [Double]
  /// Σ gradient² of what a rank owns.
  var squaredGradient = 0.0
  /// Ranks that were asked to stop.
  var stopRequests = 0.0
  /// Arithmetic of the teachers.
  var teacherFLOPs = 0.0

  init(terms: Int) { self.terms = [Double](repeating: 0, count: terms) }

  private static var others: [WritableKeyPath<StepTotals, Double>] {
    [\.squaredGradient, \.stopRequests, \.teacherFLOPs]
  }

  /// Adds the terms of a pass.
  mutating func add(_ sums: [Double]) { for (term, sum) in sums.enumerated() { terms[term] += sum } }

  /// The same over all ranks; collective.
  func summed(on communicator: any Communicator) throws -> StepTotals {
    let words = try communicator.allReduce(terms + StepTotals.others.map { self[keyPath: $0] }, .sum)
    var totals = StepTotals(terms: terms.count)
    totals.terms = Array(words.prefix(terms.count))
    for (place, path) in StepTotals.others.enumerated() { totals[keyPath: path] = words[terms.count + place] }
    return totals
  }
}
