/// The memory that a machine's limits allow the processes of a job, to compare with what a plan needs.
package struct MemoryBudget: Equatable, Sendable {
  /// Bytes that one process may use: the smaller of `ulimit -v` and `ulimit -d`; nil without either.
  package var process: Int?
  /// Bytes that the processes of a control group may use together, swap included; nil without a limit.
  package var group: Int?
  /// Processes of the job on this machine that share that group.
  package var groupProcesses: Int
  /// Bytes that the machine has, swap included; nil if the system does not report it.
  package var machine: Int?
  /// Bytes that are available on the machine now; nil if the system does not report it.
  package var available: Int?

  /// Makes a budget from these limits; see the properties.
  package init(process: Int?, group: Int?, groupProcesses: Int, machine: Int?, available: Int?) {
    self.process = process
    self.group = group
    self.groupProcesses = groupProcesses
    self.machine = machine
    self.available = available
  }

  /// A plan is refused only if this share of its bytes exceeds a limit: estimates are accurate to 15 %.
  package static let certainShare = 0.8

  /// The result of comparing a plan with the limits.
  package enum Verdict: Equatable, Sendable {
    case fits
    /// The plan needs more than is free now: the system may end the job unless other programs end.
    case tight(available: Int)
    /// The plan exceeds a fixed limit: its name in words, and its bytes.
    case beyond(limit: String, bytes: Int)
  }

  /// Compares a plan with the limits.
  ///
  /// - Parameters:
  ///   - rank: bytes that one process certainly needs.
  ///   - ranks: bytes that the job's processes on this machine certainly need.
  ///   - group: bytes that the processes in this process's control group certainly need.
  ///   - more: bytes that the job's processes on this machine are estimated to need beyond what they have now.
  package func judge(rank: Double, ranks: Double, group groupNeed: Double, more: Double) -> Verdict {
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
