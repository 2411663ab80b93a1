import Collectives
import Platform
import Tensors

#if canImport(Glibc)
  import Glibc
#endif

/// The arithmetic limit of the processors: the rate of plain matrix products, measured on all ranks at the same time.
///
/// Model FLOP utilisation (MFU; Chowdhery et al., 2022) is the useful arithmetic of a run divided by its time and by
/// this rate.
package enum ArithmeticLimit {
  /// The rates of all ranks.
  package struct Measurement: Sendable, Equatable {
    /// The best rate of each rank, GFLOP/s.
    package var rates: [Double]
    /// For each rank, the share of core time that its threads had in the least disturbed round, 0 to 1.
    package var occupancies: [Double]
    /// Whether every rank had two undisturbed rounds that agree; otherwise the rates are lower bounds.
    package var isSteady: Bool

    /// The rate of all ranks together, GFLOP/s.
    package var total: Double { rates.reduce(0, +) }

    /// The disturbance of the measurement, in a sentence without a full stop; nil if there was none.
    package var remark: String? {
      if isSteady { return nil }
      let worst = occupancies.indices.min { occupancies[$0] < occupancies[$1] } ?? 0
      let share = occupancies.isEmpty ? 0 : occupancies[worst]
      let rank = occupancies.count > 1 ? "rank \(worst)'s threads" : "the threads"
      if share < leastOccupancy {
        return "the machine was busy while matrix products were timed: \(rank) had \(fixed(100 * share, 0)) % of their "
          + "cores"
      }
      return "the machine was unsteady while matrix products were timed: their rates did not agree"
    }
  }

  /// A round counts as disturbed if its threads had a smaller share of their cores.
  static let leastOccupancy = 0.85
  /// Rounds agree if they are within this share of the best.
  static let agreement = 0.05
  /// Seconds of one round.
  private static let roundSeconds = 0.025

  /// Measures until it is steady; collective, 50 ms on an idle machine.
  ///
  /// - Parameters:
  ///   - precision: the format of the operands.
  ///   - budget: seconds after which an unsteady measurement ends.
  package static func measure(
    _ precision: Precision, budget: Double = 0.3, on communicator: any Communicator
  ) throws -> Measurement {
    let meter = ProductMeter(precision)
    let clock = ContinuousClock()
    let start = clock.now
    // The first round prepares kernels and starts threads; it does not count.
    _ = meter.round(seconds: 0)
    return try settle(on: communicator) {
      (clock.now - start).seconds < budget ? meter.round(seconds: roundSeconds) : nil
    } rest: {
      // Two threads that start on one core stay there while both are awake. After a short sleep the system wakes them
      // on free cores.
      usleep(5000)
    }
  }

  /// Runs rounds on all ranks together until all are steady or one is out of time; collective.
  ///
  /// All ranks compute in every round, even those that are already steady, since the rate of a core depends on the load
  /// of the others.
  ///
  /// - Parameters:
  ///   - round: the next round; nil when time is up.
  ///   - rest: called after a round in which a thread shared its core.
  static func settle(
    on communicator: any Communicator, round: () -> ProductMeter.Round?, rest: () -> Void = {}
  ) throws -> Measurement {
    var rounds: [ProductMeter.Round] = []
    var isSteady = false
    while !isSteady {
      try communicator.barrier()
      let next = round()
      if let next { rounds.append(next) }
      // All ranks stop together, although their clocks differ.
      if try communicator.any(next == nil) { break }
      isSteady = try communicator.all(areSteady(rounds))
      if !isSteady, let next, next.occupancy < leastOccupancy { rest() }
    }
    return Measurement(
      rates: try communicator.allGather(rounds.map(\.gigaflops).max() ?? 0),
      occupancies: try communicator.allGather(min(1, rounds.map(\.occupancy).max() ?? 0)), isSteady: isSteady)
  }

  /// Whether two undisturbed rounds reach the best rate within the agreement.
  static func areSteady(_ rounds: [ProductMeter.Round]) -> Bool {
    let best = rounds.map(\.gigaflops).max() ?? 0
    let good = rounds.filter { $0.occupancy >= leastOccupancy && $0.gigaflops >= (1 - agreement) * best }
    return good.count >= 2
  }
}
