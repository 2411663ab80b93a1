import Collectives
import Planner
import Platform
import Teachers

extension ChainRunner {
  /// Compares the memory of each step to train with the limits of every machine, for all ranks of a machine together.
  /// Collective.
  ///
  /// Throws `.preflight` if a step clearly exceeds a limit; warns if it exceeds the memory available now.
  ///
  /// - Parameter outlook: the outlook of the steps; by default the one found by `takeOutputs`.
  package func checkMemory(_ outlook: [StepOutlook]? = nil) throws {
    let outlook = outlook ?? looks.map(\.outlook)
    let machine = try communicator.splitByNode()
    let budget = try MemoryBudget(of: machine)
    for step in plan.steps where !outlook.indices.contains(step.index) || outlook[step.index].report == nil {
      try check(step, budget, machine)
    }
  }

  private func check(_ step: ResolvedStep, _ budget: MemoryBudget, _ machine: any Communicator) throws {
    let ranks = communicator.size
    let layout = Layout(plan.chain.parallel, step.configuration, ranks: ranks)
    let teaches =
      step.teacher != nil && layout.placement == .dedicated && communicator.rank >= ranks - layout.teacherRanks
    let need = try communicator.agree { try plan.need(of: step, layout, ranks: ranks, teaches: teaches) }
    let sums = try machine.allReduce(
      [need.certain - need.shared, need.estimate - need.shared - Double(ProcessMemory.peakBytes ?? 0)], .sum)
    let once = try machine.allReduce(need.once, .max)
    let verdict = budget.judge(
      rank: need.certain, ranks: sums[0] + once,
      group: budget.groupProcesses > 1 || machine.size == 1 ? sums[0] + once : need.certain,
      more: sums[1] + once)
    var warning = ""
    try communicator.agree {
      let of = machine.size == 1 ? "" : " on each of \(machine.size) ranks of a machine"
      let what =
        "step \(step.id) needs about \(grouped(need.estimate)) bytes of memory\(of) (\(need.parts))"
      switch verdict {
      case .fits: break
      case .tight(let available):
        if machine.isFirst {
          warning =
            "\(what), and \(grouped(available)) are available on \(communicator.hostName): the system may end the job"
        }
      case .beyond(let limit, let bytes):
        throw RetortError(
          .preflight, "\(what), and \(grouped(bytes)) are all \(limit) on \(communicator.hostName)",
          at: step.configuration.source.location(), remedy: remedy(step, layout, teaches, need))
      }
    }
    Set(try communicator.allGather(text: warning)).filter { !$0.isEmpty }.sorted().prefix(3).forEach(observer.warning)
  }

  /// The changes that need less memory, with the bytes that the plan estimates for them.
  private func remedy(_ step: ResolvedStep, _ layout: Layout, _ teaches: Bool, _ need: MemoryNeed) -> String {
    var ways: [String] = []
    func consider(_ words: String, _ change: (inout Layout) -> Void) {
      var other = layout
      change(&other)
      guard let less = try? plan.need(of: step, other, ranks: communicator.size, teaches: teaches),
        less.estimate < 0.95 * need.estimate
      else { return }
      ways.append("\(words) (\(grouped(less.estimate)))")
    }
    consider("activation_checkpointing: true") { $0.checkpointing = true }
    if communicator.size > 1 { consider("parallel.student.sharding: parameters") { $0.sharding = .parameters } }
    return (["raise the limit, or use a smaller batch_size, max_length or model, fewer ranks on a machine"] + ways)
      .joined(separator: ", ")
  }
}

extension MemoryBudget {
  /// Reads the limits of this machine; collective over its ranks.
  init(of machine: any Communicator) throws {
    let groups = try machine.allGather(text: MemoryLimits.controlGroupName ?? "")
    let swap = MemoryLimits.swap ?? 0
    self.init(
      process: [MemoryLimits.addressSpace, MemoryLimits.data].compactMap { $0 }.min(),
      group: MemoryLimits.controlGroup.map { $0 + swap },
      groupProcesses: Set(groups).count == 1 ? machine.size : 1,
      machine: MemoryLimits.total.map { $0 + swap }, available: MemoryLimits.available)
  }
}
