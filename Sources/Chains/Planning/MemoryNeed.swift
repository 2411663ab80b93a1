import Datasets
import Models
import Planner
import Platform
import Tensors
import Training

/// The memory that one rank needs in a chain step.
struct MemoryNeed {
  /// The plan's bytes, without weights that are mapped from a file, which are page cache.
  let estimate: Double
  /// The estimate without memory that a short run may never touch.
  let certain: Double
  /// Bytes that the ranks of a machine share in memory: of a teacher that is not in a file, and of the student.
  let once: Double
  /// The part of `estimate` that is the student's part of `once`.
  let shared: Double
  /// The largest parts, in words.
  let parts: String

  /// Computes the need of a rank.
  ///
  /// - Parameters:
  ///   - teaches: whether the rank only teaches.
  ///   - isMapped: whether the teacher's weights are mapped from a file in the cache directory.
  init(_ work: StepWork, _ layout: Layout, ranks: Int, teaches: Bool, isMapped: Bool) {
    let plan = MemoryPlan(work, layout, on: MemoryNeed.cluster(ranks))
    let memory = (teaches ? plan.teacher : nil) ?? plan.trainer
    let frozen = isMapped || layout.placement == .resident ? memory[.teacher] : 0
    // A run without room for a snapshot does without.
    estimate = memory.total - frozen - memory[.snapshot]
    let tables = 8 * Double(work.student.lookupCount) / (layout.sharding == .none ? 1 : Double(max(1, ranks)))
    certain = estimate - min(tables, memory[.optimizer])
    let teacher =
      isMapped || layout.placement != .resident ? 0 : Double(work.teacher?.frozenBytes(work.teacherFormat) ?? 0)
    shared = teaches || ranks == 1 ? 0 : plan.sharedStudent
    once = teacher + shared
    let largest = MemoryKind.allCases.filter { $0 != .snapshot && ($0 != .teacher || frozen == 0) }
      .map { ($0, memory[$0]) }.sorted { $0.1 > $1.1 }.prefix(3)
    parts = largest.map { "\($0.0.rawValue) \(grouped($0.1))" }.joined(separator: ", ")
  }

  /// A cluster of one node with all ranks; only their number matters.
  private static func cluster(_ ranks: Int) -> Cluster {
    let link = Cluster.Link(bandwidth: 1e9, latency: 1e-6)
    return Cluster(
      name: "this job", nodes: 1, ranksPerNode: ranks, cores: ranks, memory: 1e12, memoryBandwidth: 1e10,
      diskBandwidth: 1e9, gigaflops: [.fp32: 1], within: link, between: link)
  }
}

extension ChainPlan {
  /// The work of each stage of a step for its actual data: batches of examples of mean length, and a single longest
  /// example, which is a pass by itself.
  func works(of step: ResolvedStep) throws -> [StepWork] {
    let lengths = data[step.index].student.train.lengths
    let longest = Int(lengths.max() ?? 1)
    let mean = max(1, lengths.reduce(0) { $0 + Int($1) } / max(1, lengths.count))
    func format(_ precision: Precision) -> PlannedFormat { precision == .bf16 ? .bf16 : .fp32 }
    let student = try plannedNetwork(step.student.configuration, classes: classes?.names.count)
    let teachers = try step.teachers.map { try plannedNetwork($0.model.configuration, classes: classes?.names.count) }
    func works(_ load: (Hyperparameters) -> TokenLoad) -> [StepWork] {
      step.stageWorks(
        student: student, teachers: teachers, own: format(precision(of: step)),
        formats: step.teachers.map { format(precision(of: $0, in: step)) }, chain.parallel
      ) { (load($0), $0.maxSteps) }
    }
    return works { values in
      let sequences =
        switch values.batchSize {
        case .examples(let count): min(count, max(1, lengths.count))
        case .tokens(let count): max(1, count / mean)
        }
      return TokenLoad(sequences: sequences, length: mean)
    } + works { _ in TokenLoad(sequences: 1, length: max(1, longest)) }
  }

  /// The memory that a rank needs in a step with this layout.
  func need(of step: ResolvedStep, _ layout: Layout, ranks: Int, teaches: Bool) throws -> MemoryNeed {
    let needs = try works(of: step).map {
      MemoryNeed($0, layout, ranks: ranks, teaches: teaches, isMapped: cacheDirectory != nil)
    }
    return needs.max { $0.certain < $1.certain } ?? needs[0]
  }
}

extension ResolvedStep {
  /// The work of each stage.
  ///
  /// - Parameters:
  ///   - own: the format of the student's passes.
  ///   - formats: of the passes of each teacher.
  ///   - load: the batch of a stage with these values, and its optimizer steps.
  func stageWorks(
    student: any NetworkSizes, teachers: [any NetworkSizes], own: PlannedFormat, formats: [PlannedFormat],
    _ parallel: ParallelConfiguration, load: (Hyperparameters) -> (load: TokenLoad, steps: Int?)
  ) -> [StepWork] {
    configuration.stages.map { stage in
      let values = stage.hyperparameters
      let (load, steps) = load(values)
      var work = StepWork(
        student: student, teachers: teachers, load: load, accumulation: values.gradientAccumulationSteps,
        studentFormat: own, teacherFormat: formats.first ?? own,
        bucketBytes: Int(parallel.bucketMegabytes * Double(1 << 20)), steps: steps,
        topK: (self.teachers.first?.placement ?? parallel.teacherPlacement).topK)
      work.stage = configuration.stages.count > 1 ? stage.name : nil
      work.gradientWire = parallel.exchange.gradients == .bf16 ? .bf16 : .fp32
      work.weightWire = parallel.exchange.weights == .bf16 ? .bf16 : .fp32
      work.otherFormats = Array(formats.dropFirst())
      let objective = values.objectives.objective(self.teachers.map(\.role), configuration.combine)
      let needs = objective.needs(student: student.shape, teachers: teachers.map(\.shape))
      (work.innerFloats, work.innerWeights, work.askedTeachers) =
        (needs.passFloats, needs.projectionWeights, needs.teachers)
      work.comparesBatch = needs.comparesBatch
      return work
    }
  }
}
