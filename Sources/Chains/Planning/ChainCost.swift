import Datasets
import Models
import Planner
import Platform

/// The memory, traffic and time of a chain on a cluster, from the chain file and the models' config.json alone: without
/// data, weights or other ranks.
package struct ChainCost: Sendable {
  /// Values that the chain file does not contain.
  package struct Assumptions: Sendable {
    /// Mean tokens of an example; nil uses `max_length`, or the models' positions.
    package var length: Int?
    /// Training examples; nil if unknown, in which case only runs with `max_steps` have a total time.
    package var examples: Int?

    /// Makes assumptions; by default none.
    package init(length: Int? = nil, examples: Int? = nil) {
      self.length = length
      self.examples = examples
    }
  }

  /// The chain file.
  package let chain: ChainConfiguration
  /// The cluster, with the ranks that are used.
  package let cluster: Cluster
  /// Each chain step in all layouts.
  package let steps: [PlanComparison]
  /// Warnings, with figure and remedy.
  package let warnings: [String]

  /// Plans every chain step.
  ///
  /// Throws `.configuration` or `.input` for chains that a run would refuse, as far as sizes and configurations tell;
  /// objectives are checked as in a run.
  package init(
    _ chain: ChainConfiguration, on cluster: Cluster, locator: ModelLocator, assuming assumptions: Assumptions
  ) throws {
    self.chain = chain
    var cluster = cluster
    if let threads = chain.parallel.threadsPerRank {
      cluster.cores = min(cluster.cores, cluster.ranksPerNode * threads)
    }
    self.cluster = cluster
    var resolver = try PlanResolver(chain: chain, locator: locator)
    var warnings = chain.advice()
    var steps: [PlanComparison] = []
    for (index, step) in chain.steps.enumerated() {
      let models = try resolver.step(index)
      try ChainCost.check(models, step, chain, ranks: cluster.ranks)
      warnings += try Preflight.checkObjectives(of: models.step, kind: chain.metadata.task.kind)
      let works = try ChainCost.works(models, chain, cluster, assumptions)
      warnings += ChainCost.ratioAdvice(step, works[0])
      var known: [String: Bool] = [:]
      let comparison = PlanComparison(
        works, written: Layout(chain.parallel, step, ranks: cluster.ranks), on: cluster
      ) { layout in
        let key = "\(layout.placement) \(layout.payload)"
        if let answer = known[key] { return answer }
        let answer = Preflight.allows(layout, for: models.step, kind: chain.metadata.task.kind)
        known[key] = answer
        return answer
      }
      steps.append(comparison)
    }
    self.steps = steps
    self.warnings = warnings
  }

  /// Refuses what a run would refuse for its sizes: a teacher that cannot be divided as configured, rows longer than a
  /// model's context, logits that cannot be compared.
  private static func check(
    _ models: PlannedStep, _ step: StepConfiguration, _ chain: ChainConfiguration, ranks: Int
  ) throws {
    let isLanguage = chain.metadata.task.kind.definition.head == .languageModel
    if isLanguage {
      try Preflight.checkVocabularies(models.step)
      try StepResolver.checkLength(
        chain.metadata,
        [("student \(models.student.name)", models.student.maximumPositions)]
          + models.teachers.map { ("teacher \($0.name)", $0.maximumPositions) })
    }
    let students = try Preflight.trainingRanks(of: models.step, ranks: ranks)
    for (place, teacher) in models.teachers.enumerated() {
      let isDedicated = models.step.teachers[place].placement.placement == .dedicated
      try check(teacher, place, models, step, chain, ranks: isDedicated ? ranks : max(1, students))
    }
  }

  private static func check(
    _ teacher: any NetworkSizes, _ place: Int, _ models: PlannedStep, _ step: StepConfiguration,
    _ chain: ChainConfiguration, ranks: Int
  ) throws {
    let resolved = models.step.teachers[place]
    let (wanted, place) = (resolved.placement, PlacementPlace(of: resolved, chain.parallel))
    try Preflight.checkCounts(of: teacher.name, classes: teacher.classCount, wanted, at: place, ranks: ranks)
    let (size, isTensor) = (wanted.groupSize(of: ranks), wanted.sharding == .tensor)
    let most = isTensor ? teacher.headCount : teacher.layerCount
    if size > most {
      throw Preflight.refusal(
        place, "\(size) ranks cannot divide the \(most) \(isTensor ? "heads" : "layers") of the \(teacher.name)",
        "ranks", "use at most \(most), or sharding: \(isTensor ? "pipeline" : "tensor")")
    }
  }

  /// The work of each stage of a step.
  private static func works(
    _ models: PlannedStep, _ chain: ChainConfiguration, _ cluster: Cluster, _ assumptions: Assumptions
  ) throws -> [StepWork] {
    let limits = ([models.student] + models.teachers).compactMap(\.maximumPositions)
    let longest = ([chain.metadata.maxLength].compactMap { $0 } + limits).min() ?? 512
    let readsTokens = chain.metadata.task.kind.definition.readsTokens
    let length = readsTokens ? min(longest, assumptions.length ?? longest) : 1
    let native: PlannedFormat = cluster.gigaflops[.bf16] == nil ? .fp32 : .bf16
    func format(_ precision: Hyperparameters.Precision, auto: PlannedFormat) -> PlannedFormat {
      switch precision {
      case .auto: auto
      case .fp32: .fp32
      case .bf16: .bf16
      }
    }
    let own = format(models.step.hyperparameters.precision, auto: native)
    let formats = models.step.teachers.map { format($0.placement.precision, auto: own) }
    return models.step.stageWorks(
      student: models.student, teachers: models.teachers, own: own, formats: formats, chain.parallel
    ) { values in
      let sequences =
        switch values.batchSize {
        case .examples(let count): count
        case .tokens(let count): max(1, count / length)
        }
      let epochs = assumptions.examples.map { Int((Double($0) * values.trainEpochs / Double(sequences)).rounded(.up)) }
      return (TokenLoad(sequences: sequences, length: length), values.maxSteps ?? epochs)
    }
  }

  private static func ratioAdvice(_ step: StepConfiguration, _ work: StepWork) -> [String] {
    guard let teacher = work.teacher else { return [] }
    let ratio = Double(teacher.parameterCount) / Double(work.student.parameterCount)
    guard ratio > Preflight.largestRatio else { return [] }
    return [
      "step \(step.id): the teacher has \(fixed(ratio, 1)) times the student's parameters (more than "
        + "\(fixed(Preflight.largestRatio, 0))); put an intermediate model between them"
    ]
  }

  /// Throws `.preflight` if no layout of a step fits, naming the smallest.
  package func requireFit() throws {
    for (step, comparison) in zip(chain.steps, steps) where comparison.recommended == nil {
      let least = comparison.smallest
      let needed = least.memory.node / Cluster.usableShare
      throw RetortError(
        .preflight,
        "step \(step.id) fits in no layout: the smallest needs \(gigabytes(least.memory.node)) GB of a node, of which "
          + "\(gigabytes(cluster.usableMemory)) GB are usable",
        at: step.source.location(),
        remedy: "use nodes of \(gigabytes(needed)) GB or more nodes, fewer ranks per node with more threads, or "
          + "smaller models"
          + (comparison.isRestricted ? ", or objectives that allow other placements and payloads of the teacher" : "")
          + "; the smallest layout is: \(least.layout.words)")
    }
  }

  private func gigabytes(_ bytes: Double) -> String { fixed(bytes / 1e9, 1) }

  /// The plan as text with tables.
  package var text: String {
    func count(_ number: Int, _ unit: String) -> String { "\(number) \(unit)\(number == 1 ? "" : "s")" }
    let title =
      "plan of chain \(chain.metadata.name) on \(cluster.name): \(count(cluster.nodes, "node")), "
      + "\(count(cluster.ranks, "rank")) of \(count(cluster.threads, "thread"))"
    return ([title] + zip(chain.steps, steps).map { "\n" + $1.text(title: "step \($0.id)") }).joined(separator: "\n")
  }

  /// The plan as JSON.
  package var json: JSON {
    [
      "event": "plan", "name": .string(chain.metadata.name), "cluster": .string(cluster.name),
      "ranks": .int(cluster.ranks), "nodes": .int(cluster.nodes), "threads_per_rank": .int(cluster.threads),
      "usable_memory": .int(Int(cluster.usableMemory)), "warnings": .array(warnings.map(JSON.string)),
      "steps": .array(zip(chain.steps, steps).map { $1.json(id: $0.id) }),
    ]
  }
}

extension Preflight {
  /// Whether a step's objectives allow this placement of its first teacher.
  static func allows(_ layout: Layout, for step: ResolvedStep, kind: TaskKind) -> Bool {
    guard let first = step.teachers.first else { return true }
    let placed = first.placed(TeacherPlacementConfiguration(layout, over: first.placement))
    return (try? checkObjectives(of: step.taught(by: [placed] + step.teachers.dropFirst()), kind: kind)) != nil
  }
}

extension TeacherPlacementConfiguration {
  /// The placement and payload of a layout; everything else as it was.
  fileprivate init(_ layout: Layout, over other: TeacherPlacementConfiguration) {
    self = other
    placement =
      switch layout.placement {
      case .resident: .resident
      case .sharded: .sharded
      case .dedicated: .dedicated
      case .streamed: .streamed
      }
    switch layout.payload {
    case .logits: payload = .logits
    case .hidden: payload = .hidden
    case .topK(let count): (payload, topK) = (.topK, count)
    }
  }
}

extension Layout {
  /// Its spelling in a chain file.
  init(_ parallel: ParallelConfiguration, _ step: StepConfiguration, ranks: Int) {
    let teacher = step.teacher.entries.first?.placement ?? parallel.teacherPlacement
    self.init(checkpointing: step.hyperparameters.activationCheckpointing, teacherRanks: teacher.groupSize(of: ranks))
    placement =
      switch teacher.placement {
      case .resident: .resident
      case .sharded: .sharded
      case .dedicated: .dedicated
      case .streamed: .streamed
      }
    // A teacher in the same memory sends nothing.
    if placement == .sharded || placement == .dedicated {
      split = teacher.sharding == .tensor ? .tensor : .pipeline
      payload =
        switch teacher.payload {
        case .logits: .logits
        case .hidden: .hidden
        case .topK: .topK(teacher.topK)
        }
    }
    sharding =
      switch parallel.studentSharding {
      case .none: .none
      case .optimizer: .optimizer
      case .gradients: .gradients
      case .parameters: .parameters
      }
  }
}
