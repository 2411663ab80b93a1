/// What the limits of a machine give the processes of a job on it, against what a plan needs.
public struct MemoryBudget: Equatable, Sendable {
  /// Bytes that one process may have: the least of `ulimit -v` and `ulimit -d`; nil without either.
  public var process: Int?
  /// Bytes that the processes of a control group may have together, swap included; nil without a limit.
  public var group: Int?
  /// Processes of the job on this machine that share that group.
  public var groupProcesses: Int
  /// Bytes that the machine has, swap included; nil where the system does not say.
  public var machine: Int?
  /// Bytes that the machine can give now; nil where the system does not say.
  public var available: Int?

  /// A budget of these limits; see the properties.
  public init(process: Int?, group: Int?, groupProcesses: Int, machine: Int?, available: Int?) {
    self.process = process
    self.group = group
    self.groupProcesses = groupProcesses
    self.machine = machine
    self.available = available
  }

  /// A plan is refused only where this share of its bytes is beyond a limit: estimates are right to 15 %.
  public static let certainShare = 0.8

  /// What a limit says of a plan.
  public enum Verdict: Equatable, Sendable {
    case fits
    /// Beyond what is free now: other programs may have to go, or the system ends the job.
    case tight(available: Int)
    /// Beyond a limit that nothing moves: its name in words, and its bytes.
    case beyond(limit: String, bytes: Int)
  }

  /// Holds a plan against the limits.
  ///
  /// - Parameters:
  ///   - rank: bytes that one process needs for certain.
  ///   - ranks: bytes that all of the job on this machine need for certain.
  ///   - group: bytes that those in this process's control group need for certain.
  ///   - more: bytes that all on this machine are estimated to take beyond what they have now.
  public func judge(rank: Double, ranks: Double, group groupNeed: Double, more: Double) -> Verdict {
    let checks = [
      (rank, process, "of the limit of one process (ulimit -v, ulimit -d)"),
      (groupNeed, group, "of the job's memory (its control group, swap included)"),
      (ranks, machine, "of the machine's memory, swap included"),
    ]
    for (need, limit, words) in checks {
      if let limit, need * MemoryBudget.certainShare > Double(limit) { return .beyond(limit: words, bytes: limit) }
    }
    if let available, more > Double(available) { return .tight(available: available) }
    return .fits
  }
}
