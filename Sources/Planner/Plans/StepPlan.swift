/// The memory, traffic and time of a chain step in one layout on one cluster.
package struct StepPlan: Sendable {
  /// The figures of a training stage.
  package struct Stage: Sendable {
    /// Its work.
    package let work: StepWork
    /// Bytes by kind.
    package let memory: MemoryPlan
    /// Bytes that a rank sends in an optimizer step, by kind.
    package let traffic: TrafficPlan
    /// Seconds of an optimizer step, by kind.
    package let time: StepTime

    /// Seconds of the whole stage; nil if its steps depend on the data.
    package var seconds: Double? { work.steps.map { Double($0) * time.total } }
  }

  /// The layout, the same for all stages.
  package let layout: Layout
  /// The figures of each stage; at least one.
  package let stages: [Stage]
  /// The stage that takes the longest; without the number of steps, the one whose optimizer step does.
  package let longest: Stage
  /// Bytes by kind, in the stage that needs the most.
  package let memory: MemoryPlan
  /// Bytes that a rank sends in an optimizer step, in the stage that sends the most.
  package let traffic: TrafficPlan
  /// Seconds of an optimizer step by kind, in the stage that takes the longest.
  package var time: StepTime { longest.time }
  /// Whether the fullest node has enough memory in every stage.
  package let fits: Bool

  /// Optimizer steps of all stages; nil if that depends on the data.
  package var steps: Int? {
    let counts = stages.compactMap(\.work.steps)
    return counts.count == stages.count ? counts.reduce(0, +) : nil
  }

  /// Seconds of all stages together; nil if their steps depend on the data.
  package var seconds: Double? {
    let all = stages.compactMap(\.seconds)
    return all.count == stages.count ? all.reduce(0, +) : nil
  }

  /// Seconds of an optimizer step.
  package var secondsPerStep: Double { mean { $0.time.total } }

  /// Tokens in a second, over all stages.
  package var tokensPerSecond: Double { mean { Double($0.work.load.tokens) } / max(secondsPerStep, 1e-12) }

  /// The mean of a value over all optimizer steps of all stages; over the stages if the number of steps depends on the
  /// data.
  func mean(_ value: (Stage) -> Double) -> Double {
    if stages.count == 1 { return value(stages[0]) }
    let weights = (steps ?? 0) > 0 ? stages.map { Double($0.work.steps ?? 0) } : stages.map { _ in 1.0 }
    return zip(stages, weights).reduce(0) { $0 + $1.1 * value($1.0) } / weights.reduce(0, +)
  }

  /// Computes the figures of a single stage.
  package init(_ work: StepWork, _ layout: Layout, on cluster: Cluster) { self.init([work], layout, on: cluster) }

  /// Computes the figures of all stages of a step.
  ///
  /// - Parameter works: the work of each stage; at least one.
  package init(_ works: [StepWork], _ layout: Layout, on cluster: Cluster) {
    precondition(!works.isEmpty, "a step has no stages")
    self.layout = layout
    let figures = works.map { work in
      let memory = MemoryPlan(work, layout, on: cluster)
      let traffic = TrafficPlan(work, layout, on: cluster)
      let time = StepTime(work, layout, memory, traffic, on: cluster)
      return Stage(work: work, memory: memory, traffic: traffic, time: time)
    }
    stages = figures
    // The first of equals, so that a plan does not depend on how they are compared.
    func largest(_ value: (Stage) -> Double) -> Stage {
      figures.dropFirst().reduce(figures[0]) { value($1) > value($0) ? $1 : $0 }
    }
    let knowsSteps = figures.allSatisfy { $0.seconds != nil }
    longest = largest { knowsSteps ? $0.seconds ?? 0 : $0.time.total }
    memory = largest { $0.memory.node }.memory
    traffic = largest { $0.traffic.total }.traffic
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
  /// The work of each stage of the step; at least one.
  package let works: [StepWork]
  /// The cluster, with the ranks that are used.
  package let cluster: Cluster
  /// The plan for the chain file's layout.
  package let written: StepPlan
  /// Whether the step's objectives allow only some of the teacher's placements and payloads.
  package let isRestricted: Bool
  /// The plans for all allowed layouts, the written one included.
  package let all: [StepPlan]

  /// The work of the first stage.
  package var work: StepWork { works[0] }

  /// Compares all layouts of a step with a single stage.
  package init(_ work: StepWork, written: Layout, on cluster: Cluster) {
    self.init([work], written: written, on: cluster)
  }

  /// Compares all layouts; `written` decides whether a top-k payload may be recommended.
  ///
  /// - Parameters:
  ///   - works: the work of each stage; at least one.
  ///   - allows: whether the step's objectives allow a layout; others are not compared.
  package init(
    _ works: [StepWork], written: Layout, on cluster: Cluster, allows: (Layout) -> Bool = { _ in true }
  ) {
    precondition(!works.isEmpty, "a step has no stages")
    self.works = works
    self.cluster = cluster
    self.written = StepPlan(works, written, on: cluster)
    let possible = PlanComparison.layouts(works[0], cluster)
    var layouts = possible.filter(allows)
    isRestricted = layouts.count < possible.count
    if !layouts.contains(written) { layouts.append(written) }
    all = layouts.map { StepPlan(works, $0, on: cluster) }
  }

  /// The fastest layout that fits; a simpler one is preferred if it is less than a tenth slower, which is the accuracy
  /// of the times. nil if none fits.
  ///
  /// A top-k payload is recommended only if the chain file asks for it.
  package var recommended: StepPlan? {
    let candidates = all.filter { $0.fits && ($0.layout.payload.isExact || !written.layout.payload.isExact) }
    guard let best = candidates.map(\.secondsPerStep).min() else { return nil }
    return candidates.filter { $0.secondsPerStep <= best * PlanComparison.indifference }.min {
      ($0.effort, $0.secondsPerStep) < ($1.effort, $1.secondsPerStep)
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
    return (one.secondsPerStep, one.effort) < (other.secondsPerStep, other.effort)
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
