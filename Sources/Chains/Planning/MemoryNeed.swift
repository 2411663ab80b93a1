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
  /// Bytes of a teacher that the ranks of a machine share in memory, if it is not in a file.
  let once: Double
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
    estimate = memory.total - frozen
    let tables = 8 * Double(work.student.lookupCount) / (layout.sharding == .none ? 1 : Double(max(1, ranks)))
    certain = estimate - min(tables, memory[.optimizer])
    once =
      isMapped || layout.placement != .resident ? 0 : Double(work.teacher?.frozenBytes(work.teacherFormat) ?? 0)
    let largest = MemoryKind.allCases.filter { $0 != .teacher || frozen == 0 }.map { ($0, memory[$0]) }
      .sorted { $0.1 > $1.1 }.prefix(3)
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
  /// The work of a step for its actual data: batches of examples of mean length, and a single longest example, which is
  /// a pass by itself.
  func works(of step: ResolvedStep) throws -> [StepWork] {
    let lengths = data[step.index].student.train.lengths
    let longest = Int(lengths.max() ?? 1)
    let mean = max(1, lengths.reduce(0) { $0 + Int($1) } / max(1, lengths.count))
    let values = step.hyperparameters
    let sequences =
      switch values.batchSize {
      case .examples(let count): min(count, max(1, lengths.count))
      case .tokens(let count): max(1, count / mean)
      }
    let student = try plannedNetwork(step.student.configuration, classes: classes?.names.count)
    let teachers = try step.teachers.map { try plannedNetwork($0.model.configuration, classes: classes?.names.count) }
    let own = precision(of: step)
    let theirs = step.teachers.first.map { precision(of: $0, in: step) } ?? own
    func format(_ precision: Precision) -> PlannedFormat { precision == .bf16 ? .bf16 : .fp32 }
    let batches = [TokenLoad(sequences: sequences, length: mean), TokenLoad(sequences: 1, length: max(1, longest))]
    let inner = step.configuration.innerFloats(student: student.shape, teachers: teachers.map(\.shape))
    return batches.map { load in
      var work = StepWork(
        student: student, teachers: teachers, load: load, accumulation: values.gradientAccumulationSteps,
        studentFormat: format(own), teacherFormat: format(theirs),
        bucketBytes: Int(chain.parallel.bucketMegabytes * Double(1 << 20)),
        topK: (step.teachers.first?.placement ?? chain.parallel.teacherPlacement).topK)
      work.innerFloats = inner
      return work
    }
  }

  /// The memory that a rank needs in a step with this layout.
  func need(of step: ResolvedStep, _ layout: Layout, ranks: Int, teaches: Bool) throws -> MemoryNeed {
    let needs = try works(of: step).map {
      MemoryNeed($0, layout, ranks: ranks, teaches: teaches, isMapped: cacheDirectory != nil)
    }
    return needs.max { $0.certain < $1.certain } ?? needs[0]
  }
}
