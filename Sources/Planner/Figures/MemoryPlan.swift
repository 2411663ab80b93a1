import Models
import Objectives
import Safetensors
import Tensors

/// The memory of a chain step in a layout: of a training rank, of a dedicated teacher rank, and of the fullest node.
package struct MemoryPlan: Sendable, Equatable {
  /// The memory of a rank that trains.
  package let trainer: RankMemory
  /// The memory of a dedicated teacher rank; nil without such ranks.
  package let teacher: RankMemory?
  /// Bytes of the student that the ranks of a node share.
  package let sharedStudent: Double
  /// Bytes of a node whose ranks all train.
  package let trainingNode: Double
  /// Bytes of a node whose ranks are all dedicated teachers.
  package let teachingNode: Double?

  /// Bytes of the fullest node.
  package var node: Double { max(trainingNode, teachingNode ?? 0) }

  /// Plans the memory of `work` on the ranks of `cluster`.
  package init(_ work: StepWork, _ layout: Layout, on cluster: Cluster) {
    let trainers = layout.trainers(of: cluster.ranks)
    let passes = work.passes(trainers: trainers)
    var rank = MemoryPlan.state(work, layout, TrainingGrid(trainers: trainers, perNode: cluster.ranksPerNode))
    MemoryPlan.addPass(work, layout, passes, trainers, to: &rank)
    rank[.program] = RankMemory.program
    let onNode = Double(cluster.ranksPerNode)
    sharedStudent = rank.shared
    var nodeShared = rank.shared
    if let model = work.teacher {
      let parts = TeacherParts(model, work.teacherFormat, layout)
      nodeShared += parts.sharedOnNode
      rank[.teacher] = parts.onTrainer
      rank.shared += min(parts.onTrainer, parts.sharedOnNode)
      rank[.signals] = MemoryPlan.signals(work, layout, model, passes)
      if layout.placement == .resident, !model.isLanguageModel { rank[.cache] = MemoryPlan.segment }
      teacher = layout.placement == .dedicated ? MemoryPlan.teaching(work, layout, model, parts, passes, trainers) : nil
    } else {
      teacher = nil
    }
    for (model, format, _) in work.otherTeachers {
      let parts = TeacherParts(model, format, Layout())
      rank[.teacher] += parts.onTrainer
      rank.shared += min(parts.onTrainer, parts.sharedOnNode)
      nodeShared += parts.sharedOnNode
      rank[.signals] += MemoryPlan.signals(work, Layout(), model, passes)
    }
    rank[.signals] += 4 * Double(passes.load.tokens * work.innerFloats)
    // One copy on the node of rank 0, which reads all of it.
    rank[.snapshot] = Double(SnapshotSize.bytes(weights: work.student.parameterCount))
    rank.shared += rank[.snapshot]
    nodeShared += rank[.snapshot]
    trainer = rank
    trainingNode = onNode * rank.own + nodeShared
    teachingNode = teacher.map { onNode * $0.own }
  }

  /// The bytes of signals after which they are written to disk.
  static let segment = Double(8 << 20)

  /// Weights, gradients, optimizer state and copies: 16 bytes a parameter; the sharding divides a part of them by the
  /// ranks (Rajbhandari et al., 2020). Sharded data is also present whole for a few buckets or two blocks at a time,
  /// and table rows for as long as a step uses them. Whole weights and their copies are in memory once a node, except
  /// with `none`, where each rank has its own; tables are so there too.
  private static func state(_ work: StepWork, _ layout: Layout, _ grid: TrainingGrid) -> RankMemory {
    let student = work.student
    let ranks = grid.nodes * grid.ranks
    let flat = FlatLayout(student, ranks: ranks, bucketBytes: work.bucketBytes, layout.sharding)
    let (dense, tables, n) = (Double(flat.count), Double(student.lookupCount), Double(ranks))
    let touched = Double(min(student.lookupRows, work.load.tokens) * student.lookupColumns)
    let present = Double(flat.visits(passes: 1, isTied: student.isTied).present)
    var rank = RankMemory()
    let isDivided = layout.sharding == .parameters
    rank[.weights] = 4 * (isDivided ? (dense + tables) / n + (ranks > 1 ? present : 0) + touched : dense + tables)
    let isSummed = layout.sharding == .none || layout.sharding == .optimizer
    // One bucket is filled while two are in flight.
    rank[.gradients] = 4 * (isSummed ? dense : dense / n + Double(flat.largest(3))) + 4 * touched
    rank[.optimizer] = 8 * (layout.sharding == .none ? dense + tables / n : (dense + tables) / n)
    if work.studentFormat == .bf16 {
      let rounded = Double(student.roundedCount)
      rank[.copies] = 2 * (isDivided ? min(rounded, present) : rounded)
    }
    // Projections are trained like the student's dense weights.
    let inner = Double(work.innerWeights)
    rank[.weights] += 4 * inner / (isDivided ? n : 1)
    rank[.gradients] += 4 * inner / (isSummed ? 1 : n)
    rank[.optimizer] += 8 * inner / (layout.sharding == .none ? 1 : n)
    // Data from other nodes until it is summed.
    let received = (isSummed ? dense : Double(flat.largest(2))) + touched
    rank[.buffers] = grid.nodes > 1 ? 4 * received / Double(grid.ranks) : 0
    if grid.ranks > 1 {
      switch layout.sharding {
      case .none: rank.shared = 4 * tables
      case .optimizer, .gradients: rank.shared = rank[.weights] + rank[.copies]
      case .parameters: break
      }
    }
    return rank
  }

  /// Activations and temporary memory: the student's and the teacher's passes alternate.
  private static func addPass(
    _ work: StepWork, _ layout: Layout, _ passes: Passes, _ trainers: Int, to rank: inout RankMemory
  ) {
    let (student, format) = (work.student, work.studentFormat)
    let tokens = Double(passes.load.tokens)
    let kept = tokens * Double(student.keptBytes(format))
    let layers = Double(student.layerCount)
    let all = max(0, layers - 1) * kept + tokens * Double(student.lastKeptBytes(format))
    let stream = tokens * Double(student.hiddenSize * (student.roundsStates ? format.bytes : 4))
    rank[.activations] = (layout.checkpointing ? layers * stream + kept : all) + stream
    let learning = tokens * Double(student.backwardBytes(format)) + headBytes(work, layout, passes)
    var teaching = 0.0
    if let model = work.teacher, layout.placement != .dedicated {
      // A group runs its passes over the examples of all its ranks.
      let ofPass = layout.placement == .sharded ? Double(work.teacherPass(layout, passes, trainers: trainers)) : tokens
      teaching = ofPass * Double(model.inferenceBytes(work.teacherFormat))
    }
    // Sharded lookup tables are whole during an evaluation.
    let looking = layout.sharding == .parameters ? 4 * Double(student.lookupCount) : 0
    rank[.working] = max(learning, max(teaching, looking) - rank[.activations])
  }

  /// The memory of the loss: negligible for a classifier; for a language model a chunk of the student's logits, of the
  /// teacher's too if it sends states, and the gradients of all states.
  private static func headBytes(_ work: StepWork, _ layout: Layout, _ passes: Passes) -> Double {
    guard work.student.isLanguageModel else { return 0 }
    let isHere = layout.placement == .resident || layout.placement == .streamed
    let logits = HeadLossChunks.bytes(
      rows: passes.load.tokens, classes: work.student.classCount,
      precision: work.studentFormat == .fp32 ? .fp32 : .bf16,
      teacherStates: work.teacher != nil && (isHere || layout.payload == .hidden))
    return Double(logits + 4 * passes.load.tokens * work.student.hiddenSize)
  }

  /// The signals of a pass, and two more in flight with a dedicated teacher, which works ahead.
  private static func signals(_ work: StepWork, _ layout: Layout, _ model: any NetworkSizes, _ passes: Passes) -> Double
  {
    // A language model in the same memory passes its states on, and its head is not copied.
    let isHere = layout.placement == .resident || layout.placement == .streamed
    let payload: Layout.Payload = isHere && model.isLanguageModel ? .hidden : layout.payload
    let row = payload.rowBytes(classes: model.classCount, hidden: model.hiddenSize, work.teacherFormat)
    return Double(model.rows(passes.load) * row) * (layout.placement == .dedicated ? 3 : 1)
  }

  /// The memory of a dedicated teacher rank: its part of the weights, one pass, and the signals that it sends.
  private static func teaching(
    _ work: StepWork, _ layout: Layout, _ model: any NetworkSizes, _ parts: TeacherParts, _ passes: Passes,
    _ trainers: Int
  ) -> RankMemory {
    var rank = RankMemory()
    rank[.teacher] = parts.onTeacher
    let pass = work.teacherPass(layout, passes, trainers: trainers)
    rank[.working] = Double(pass * model.inferenceBytes(work.teacherFormat))
    // Answers to one request of each student rank, two in flight while one is computed, on the ranks with a head.
    let row = layout.payload.rowBytes(classes: model.classCount, hidden: model.hiddenSize, work.teacherFormat)
    let senders = layout.split == .tensor ? Double(layout.teacherRanks) : 1
    rank[.signals] = 3 * Double(trainers * model.rows(passes.load) * row) / senders
    rank[.program] = RankMemory.program
    return rank
  }
}

/// The bytes of a teacher's weights by location in a layout.
struct TeacherParts {
  /// In the memory of a rank that trains.
  let onTrainer: Double
  /// The part of `onTrainer` that exists once per node.
  let sharedOnNode: Double
  /// In the memory of a dedicated teacher rank.
  let onTeacher: Double

  /// A mapped teacher with fewer bytes stays in memory whole; of a larger one, one matrix at a time.
  private static let releasedAbove = Double(64 << 20)

  init(_ model: any NetworkSizes, _ format: PlannedFormat, _ layout: Layout) {
    let whole = Double(model.frozenBytes(format))
    let blocks = model.frozenBlocks(format)
    let ends = model.tensors.filter { !$0.isLookup && ($0.block == 0 || $0.block > model.layerCount) }
    let wholeEnds = model.hasDividedHead ? 0 : ends.reduce(0) { $0 + model.frozenBytes(of: $1, format) }
    let part = TeacherParts.part(whole, blocks, wholeEnds: Double(wholeEnds), layout)
    let head = Double(model.tensors.last.map { model.frozenBytes(of: $0, format) } ?? 0)
    let needsHead = layout.payload == .hidden && layout.placement != .resident && layout.placement != .streamed
    switch layout.placement {
    case .resident:
      let largest = Double(model.tensors.map { model.frozenBytes(of: $0, format) }.max() ?? 0)
      onTrainer = whole < TeacherParts.releasedAbove ? whole : largest
      sharedOnNode = whole
      onTeacher = 0
    case .sharded:
      onTrainer = part + (needsHead ? head : 0)
      sharedOnNode = needsHead ? head : 0
      onTeacher = 0
    case .dedicated:
      onTrainer = needsHead ? head : 0
      sharedOnNode = onTrainer
      onTeacher = part
    case .streamed:
      let layers = blocks.dropFirst().dropLast()
      onTrainer = Double(2 * (layers.max() ?? 0) + (blocks.last ?? 0))
      sharedOnNode = onTrainer
      onTeacher = 0
    }
  }

  /// The bytes of the largest part. A tensor-parallel shard has 1/N, except for a classifier's positions, types and
  /// head, which are whole; pipeline stages are balanced so that the largest is smallest.
  private static func part(_ whole: Double, _ blocks: [Int], wholeEnds: Double, _ layout: Layout) -> Double {
    let ranks = layout.teacherRanks
    guard layout.split == .pipeline else { return wholeEnds + (whole - wholeEnds) / Double(ranks) }
    let last = blocks.count - 1
    let stages = min(ranks, max(1, last - 1))
    var start = 1
    let sizes = ModelPart.balancedEnds(blocks, stages: stages).enumerated().map { stage, end in
      defer { start = end + 1 }
      let ends = (stage == 0 ? blocks[0] : 0) + (stage == stages - 1 ? blocks[last] : 0)
      return blocks[start..<end + 1].reduce(ends, +)
    }
    return sizes.max().map(Double.init) ?? whole
  }
}

extension Layout {
  /// The number of ranks that train, of all ranks of the job.
  package func trainers(of ranks: Int) -> Int { placement == .dedicated ? max(1, ranks - teacherRanks) : ranks }
}
