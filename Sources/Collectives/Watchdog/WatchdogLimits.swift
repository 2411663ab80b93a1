/// How long the watchdog is patient, in seconds.
public struct WatchdogLimits: Sendable, Equatable {
  /// Without a sign of life of a rank, all phases alike; 0: the watchdog is off.
  public var silence: Int
  /// Without progress of a rank that others wait for, or of all ranks while all wait; 0: for ever.
  public var progress: Int
  /// The same in single phases, by the names of `phaseNames`; "step" is any optimizer step.
  public var phases: [String: Int]

  /// 120 s of silence.
  public static let defaultSilence = 120
  /// What limits may be.
  public static let range = 0...604_800

  /// Limits; progress has five times the limit of silence where nothing is said of it, since work that does not advance
  /// may be a slow disk.
  public init(silence: Int = WatchdogLimits.defaultSilence, progress: Int? = nil, phases: [String: Int] = [:]) {
    self.silence = silence
    self.progress = progress ?? 5 * silence
    self.phases = phases
  }

  /// The phases that can have a limit of their own: the names of `Trace` with underscores.
  public static let phaseNames = [
    "start", "plan_and_data", "inputs", "load_teacher", "check_teacher", "load_student", "step", "evaluation",
    "best_student", "checkpoint", "rate_of_products", "commit", "teach",
  ]

  /// The limit of progress in a phase; nil: none.
  func progress(in phase: String) -> Double? {
    var name = phase
    if phase.hasPrefix("step "), phase.dropFirst(5).allSatisfy(\.isNumber) { name = "step" }
    let limit = phases[String(name.map { $0 == " " ? "_" : $0 })] ?? progress
    return limit > 0 ? Double(limit) : nil
  }
}
