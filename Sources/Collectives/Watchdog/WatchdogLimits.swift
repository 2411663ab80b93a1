/// The watchdog's time limits, in seconds.
package struct WatchdogLimits: Sendable, Equatable {
  /// The longest silence of a rank, in any phase; 0 turns the watchdog off.
  package var silence: Int
  /// The longest time without progress of a rank that others wait for, or of all ranks while all wait; 0: no limit.
  package var progress: Int
  /// Progress limits of single phases, by `phaseNames`; "step" is any optimizer step.
  package var phases: [String: Int]

  /// The default silence limit.
  package static let defaultSilence = 120
  /// The range of the limits.
  package static let range = 0...604_800

  /// Makes limits; by default the progress limit is five times the silence limit, since a slow disk looks like a hang.
  package init(silence: Int = WatchdogLimits.defaultSilence, progress: Int? = nil, phases: [String: Int] = [:]) {
    self.silence = silence
    self.progress = progress ?? 5 * silence
    self.phases = phases
  }

  /// The phases that can have their own limit: the names of `Trace` with underscores.
  package static let phaseNames = [
    "start", "plan_and_data", "inputs", "load_teacher", "check_teacher", "load_student", "step", "evaluation",
    "best_student", "checkpoint", "rate_of_products", "commit", "teach",
  ]

  /// The progress limit of a phase; nil if it has none.
  func progress(in phase: String) -> Double? {
    var name = phase
    if phase.hasPrefix("step "), phase.dropFirst(5).allSatisfy(\.isNumber) { name = "step" }
    let limit = phases[String(name.map { $0 == " " ? "_" : $0 })] ?? progress
    return limit > 0 ? Double(limit) : nil
  }
}
