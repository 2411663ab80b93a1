/// The memory, traffic and time of a chain step in one layout on one cluster.
package struct StepPlan: Sendable {
  /// The layout.
  package let layout: Layout
  /// Bytes by kind.
  package let memory: MemoryPlan
  /// Bytes that a rank sends, by kind.
  package let traffic: TrafficPlan
  /// Seconds by kind.
  package let time: StepTime
  /// Whether the fullest node has enough memory.
  package let fits: Bool

  /// Computes the figures of `work`.
  package init(_ work: StepWork, _ layout: Layout, on cluster: Cluster) {
    self.layout = layout
    memory = MemoryPlan(work, layout, on: cluster)
    traffic = TrafficPlan(work, layout, ranks: cluster.ranks)
    time = StepTime(work, layout, memory, traffic, on: cluster)
    fits = memory.node <= cluster.usableMemory
  }

  /// The complexity of a layout: of two equally fast layouts the simpler one is recommended.
  var effort: Int {
    let placement =
      switch layout.placement {
      case .resident: 0
      case .streamed: 1
      case .sharded: 2
      case .dedicated: 3
      }
    let sharding =
      switch layout.sharding {
      case .optimizer: 0
      case .none, .gradients: 1
      case .parameters: 2
      }
    return placement * 4 + sharding * 2 + (layout.checkpointing ? 1 : 0) + (layout.payload == .logits ? 0 : 1)
  }
}

/// The plans of a chain step in all layouts that the cluster allows.
package struct PlanComparison: Sendable {
  /// The work of the step.
  package let work: StepWork
  /// The cluster, with the ranks that are used.
  package let cluster: Cluster
  /// The plan for the chain file's layout.
  package let written: StepPlan
  /// The plans for all layouts, the written one included.
  package let all: [StepPlan]

  /// Compares all layouts; `written` decides whether a top-k payload may be recommended.
  package init(_ work: StepWork, written: Layout, on cluster: Cluster) {
    self.work = work
    self.cluster = cluster
    self.written = StepPlan(work, written, on: cluster)
    var layouts = PlanComparison.layouts(work, cluster)
    if !layouts.contains(written) { layouts.append(written) }
    all = layouts.map { StepPlan(work, $0, on: cluster) }
  }

  /// The fastest layout that fits; a simpler one is preferred if it is less than a tenth slower, which is the accuracy
  /// of the times. nil if none fits.
  ///
  /// A top-k payload is recommended only if the chain file asks for it.
  package var recommended: StepPlan? {
    let candidates = all.filter { $0.fits && ($0.layout.payload.isExact || !written.layout.payload.isExact) }
    guard let best = candidates.map(\.time.total).min() else { return nil }
    return candidates.filter { $0.time.total <= best * PlanComparison.indifference }.min {
      ($0.effort, $0.time.total) < ($1.effort, $1.time.total)
    }
  }

  /// Two times within this ratio count as equal.
  static let indifference = 1.1

  /// For each placement, split and payload the fastest layout that fits, or else the smallest.
  package var placements: [StepPlan] {
    var order: [String] = []
    var best: [String: StepPlan] = [:]
    for plan in all {
      let key = "\(plan.layout.placement) \(plan.layout.split) \(plan.layout.payload)"
      guard let other = best[key] else {
        order.append(key)
        best[key] = plan
        continue
      }
      if PlanComparison.isBetter(plan, than: other) { best[key] = plan }
    }
    return order.compactMap { best[$0] }
  }

  /// The layouts that differ from `plan` only in the student's sharding and checkpointing.
  package func shardings(of plan: StepPlan) -> [StepPlan] {
    all.filter {
      var layout = $0.layout
      (layout.sharding, layout.checkpointing) = (plan.layout.sharding, plan.layout.checkpointing)
      return layout == plan.layout
    }
  }

  /// The layout that needs the least memory.
  package var smallest: StepPlan { all.min { $0.memory.node < $1.memory.node } ?? written }

  private static func isBetter(_ one: StepPlan, than other: StepPlan) -> Bool {
    if one.fits != other.fits { return one.fits }
    if !one.fits { return one.memory.node < other.memory.node }
    return (one.time.total, one.effort) < (other.time.total, other.effort)
  }

  /// All layouts worth comparing: each placement with teacher groups from part of a node up to all ranks.
  static func layouts(_ work: StepWork, _ cluster: Cluster) -> [Layout] {
    var teachers = [Layout()]
    if let teacher = work.teacher {
      teachers.append(Layout(placement: .streamed))
      let payloads: [Layout.Payload] = [.logits, .hidden] + (work.topK < teacher.classCount ? [.topK(work.topK)] : [])
      for split in Layout.Split.allCases {
        for ranks in counts(split, teacher, cluster) {
          for payload in payloads {
            if cluster.ranks % ranks == 0 {
              teachers.append(Layout(placement: .sharded, teacherRanks: ranks, split: split, payload: payload))
            }
            if ranks < cluster.ranks {
              teachers.append(Layout(placement: .dedicated, teacherRanks: ranks, split: split, payload: payload))
            }
          }
        }
      }
    }
    return teachers.flatMap { teacher in
      Layout.Sharding.allCases.flatMap { sharding in
        [false, true].map { checkpointing in
          var layout = teacher
          (layout.sharding, layout.checkpointing) = (sharding, checkpointing)
          return layout
        }
      }
    }
  }

  /// The group sizes: powers of two, whole nodes and all ranks, as far as the teacher can be split.
  private static func counts(_ split: Layout.Split, _ teacher: any NetworkSizes, _ cluster: Cluster) -> [Int] {
    let most = min(cluster.ranks, split == .tensor ? teacher.headCount : teacher.layerCount)
    let powers = (1...20).map { 1 << $0 }
    let nodes = (1...max(1, cluster.nodes)).map { $0 * cluster.ranksPerNode }
    return Set(powers + nodes + [cluster.ranks, cluster.ranks * 3 / 4]).filter { (2...max(2, most)).contains($0) }
      .filter { $0 <= most }.sorted()
  }
}
