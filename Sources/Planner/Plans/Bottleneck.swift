import Platform

/// The largest part of an optimizer step's time, in the stage that takes the longest, and advice to reduce it.
package struct Bottleneck: Sendable, Equatable {
  /// The largest part of the step's time, or of the slower side if teacher and student overlap.
  package let kind: TimeKind
  /// Its share of the step's time, 0 to 1.
  package let share: Double
  /// Advice with figures.
  package let relief: String

  /// Finds the bottleneck of a plan on `cluster`.
  package init(_ plan: StepPlan, on cluster: Cluster) {
    let (time, work) = (plan.time, plan.longest.work)
    let teaching = time.teachingKinds
    let side =
      time.isOverlapped
      ? (time.teaching >= time.training ? teaching : TimeKind.allCases.filter { !teaching.contains($0) })
      : TimeKind.allCases
    kind = side.max { time[$0] < time[$1] } ?? .student
    share = time.total > 0 ? time[kind] / time.total : 0
    relief = Bottleneck.relief(of: kind, plan, work, cluster)
  }

  private static func relief(of kind: TimeKind, _ plan: StepPlan, _ work: StepWork, _ cluster: Cluster) -> String {
    switch kind {
    case .teacher: return teacherRelief(plan, work, cluster)
    case .otherTeachers: return "fewer teachers, or more ranks"
    case .disk:
      return "a node with memory for the whole teacher, or more tokens per pass; sharded and dedicated read it once"
    case .teacherTraffic:
      return plan.layout.split == .tensor
        ? "sharding: pipeline sends one state per stage, tensor two sums per layer; keep a tensor group on one node"
        : "payload: hidden or top_k, or a faster network"
    case .student:
      if work.studentFormat == .fp32 { return "precision: bf16 if the CPU supports it, or more ranks" }
      return plan.layout.checkpointing
        ? "more ranks, or activation_checkpointing: false (a quarter less arithmetic) if memory allows it"
        : "more ranks or a smaller student"
    case .gradients, .weights:
      let doubled = StepPlan([work.scaled(by: 2)], plan.layout, on: cluster)
      let (before, after) = (plan.time.total, doubled.time.total / 2)
      let gain = before > 0 ? 100 * (1 - after / before) : 0
      return "a batch twice as large makes an example \(figure(gain)) % cheaper; or a faster network, or fewer ranks "
        + "with more threads"
    case .optimizer: return "sharding: optimizer divides it by the number of ranks; or a larger batch, for fewer steps"
    }
  }

  private static func teacherRelief(_ plan: StepPlan, _ work: StepWork, _ cluster: Cluster) -> String {
    guard plan.time.isOverlapped else {
      // Signals of language models are not cached: they soon exceed the weights in size.
      if work.teacher?.isLanguageModel == true { return "more ranks, or an intermediate teacher" }
      let rest = plan.time.total - plan.time.teaching
      return "cached signals make later epochs \(figure(plan.time.total / max(rest, 1e-9))) times as fast; "
        + "otherwise more ranks, or an intermediate teacher"
    }
    let balanced = plan.time.teaching / max(plan.time.teaching + plan.time.training, 1e-9)
    return "more teacher ranks: \(grouped(balanced * Double(cluster.ranks))) of \(cluster.ranks) make both sides "
      + "about equal; or more nodes, or an intermediate teacher"
  }
}

extension StepWork {
  /// The work with a batch `factor` times as large.
  func scaled(by factor: Int) -> StepWork {
    var copy = self
    copy.load = TokenLoad(sequences: load.sequences * factor, length: load.length)
    return copy
  }
}
