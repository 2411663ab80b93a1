import Testing

@testable import Platform

@Suite struct MemoryBudgetTests {
  private let budget = MemoryBudget(
    process: 4_000, group: 6_000, groupProcesses: 2, machine: 10_000, available: 5_000)

  @Test func `a plan within all limits fits`() {
    #expect(budget.judge(rank: 2_000, ranks: 4_000, group: 4_000, more: 3_900) == .fits)
  }

  @Test func `a plan beyond what is free now is tight, and not refused`() {
    #expect(budget.judge(rank: 2_900, ranks: 5_800, group: 5_800, more: 5_700) == .tight(available: 5_000))
  }

  @Test func `a plan is refused only where four fifths of it are beyond a limit`() {
    #expect(budget.judge(rank: 5_000, ranks: 5_000, group: 5_000, more: 0) == .fits)
    #expect(
      budget.judge(rank: 5_001, ranks: 5_001, group: 5_001, more: 0)
        == .beyond(limit: "of the limit of one process (ulimit -v, ulimit -d)", bytes: 4_000))
  }

  @Test func `ranks that fit one by one are refused together`() {
    guard case .beyond(let group, 6_000) = budget.judge(rank: 3_800, ranks: 7_600, group: 7_600, more: 0) else {
      Issue.record("the control group refuses nothing")
      return
    }
    #expect(group.contains("control group"))
    guard case .beyond(let machine, 10_000) = budget.judge(rank: 3_800, ranks: 15_200, group: 3_800, more: 0) else {
      Issue.record("the machine refuses nothing")
      return
    }
    #expect(machine.contains("machine"))
  }

  @Test func `a system that says nothing refuses nothing`() {
    let unknown = MemoryBudget(process: nil, group: nil, groupProcesses: 1, machine: nil, available: nil)
    #expect(unknown.judge(rank: 1e18, ranks: 1e18, group: 1e18, more: 1e18) == .fits)
  }
}
