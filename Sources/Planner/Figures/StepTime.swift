import Foundation

/// The parts of an optimizer step's time, in seconds.
package enum TimeKind: String, Sendable, CaseIterable {
  /// The teacher's products, or reading its weights from memory if that takes longer.
  case teacher
  /// Reading the weights of a streamed teacher that does not fit into the node's memory.
  case disk
  /// Communication inside a teacher group and from it to the student.
  case teacherTraffic = "teacher_traffic"
  /// The products of the teachers after the first one, on the ranks that train.
  case otherTeachers = "other_teachers"
  /// The student's products, forward and backward.
  case student
  /// The part of the gradient exchange that the backward pass does not hide.
  case gradients
  /// The exchange of table rows and updated weights, which nothing hides.
  case weights
  /// AdamW, limited by memory bandwidth.
  case optimizer
}

/// The time of an optimizer step on a described cluster.
///
/// A training rank runs the teachers' passes, then the student's; gradients are exchanged during the backward pass.
/// Dedicated teacher ranks work on the next batch at the same time, so the step takes as long as the slower side.
/// Teachers after the first one are resident. A teacher that no objective reads has no passes.
package struct StepTime: Sendable, Equatable {
  private var seconds: [TimeKind: Double] = [:]
  /// Seconds of a kind.
  package private(set) subscript(kind: TimeKind) -> Double {
    get { seconds[kind] ?? 0 }
    set { seconds[kind] = newValue }
  }
  /// Operations of the teachers and of the student, over all ranks.
  package private(set) var teacherFLOPs = 0.0, studentFLOPs = 0.0
  /// Whether teacher and student work at the same time.
  package let isOverlapped: Bool

  /// The kinds of the teachers' work; of dedicated ranks only the first teacher's.
  package var teachingKinds: [TimeKind] { [.teacher, .disk, .teacherTraffic] + (isOverlapped ? [] : [.otherTeachers]) }
  /// Seconds of the teachers' work.
  package var teaching: Double { teachingKinds.reduce(0) { $0 + self[$1] } }
  /// Seconds of the other work of the ranks that train.
  package var training: Double {
    TimeKind.allCases.filter { !teachingKinds.contains($0) }.reduce(0) { $0 + self[$1] }
  }
  /// Seconds of the step: the larger of the two if they overlap, otherwise their sum.
  package var total: Double { isOverlapped ? max(teaching, training) : teaching + training }

  /// Estimates the time of `work` in a layout on a cluster.
  package init(_ work: StepWork, _ layout: Layout, _ memory: MemoryPlan, _ traffic: TrafficPlan, on cluster: Cluster) {
    isOverlapped = work.teacher != nil && layout.placement == .dedicated && work.asks(0)
    let trainers = layout.trainers(of: cluster.ranks)
    let passes = work.passes(trainers: trainers)
    addStudent(work, layout, passes, trainers, cluster)
    addExchange(work, layout, passes, trainers, traffic, cluster)
    if let teacher = work.teacher, work.asks(0) {
      addTeacher(teacher, work, layout, passes, trainers, memory, traffic, cluster)
    }
    for (teacher, format, isAsked) in work.otherTeachers where isAsked {
      addResident(teacher, format, work, passes, trainers, cluster)
    }
  }

  /// The passes of a further teacher, which every training rank has: products, or reading the weights once per pass.
  private mutating func addResident(
    _ teacher: any NetworkSizes, _ format: PlannedFormat, _ work: StepWork, _ passes: Passes, _ trainers: Int,
    _ cluster: Cluster
  ) {
    let operations = teacher.forwardFLOPs(work.load)
    teacherFLOPs += operations
    let ofRank = operations * Double(passes.rank.sequences) / Double(max(1, work.load.sequences))
    let reads = Double(passes.count * teacher.frozenBytes(format)) * Double(cluster.ranksPerNode)
    self[.otherTeachers] += max(ofRank / cluster.rate(format), reads / cluster.memoryBandwidth)
  }

  private mutating func addStudent(
    _ work: StepWork, _ layout: Layout, _ passes: Passes, _ trainers: Int, _ cluster: Cluster
  ) {
    let forward = work.student.forwardFLOPs(work.load)
    // The backward pass has two products for each one of the forward pass; recomputation adds one more.
    studentFLOPs = forward * (layout.checkpointing ? 4 : 3)
    if work.comparesBatch, trainers > 1 || passes.count > 1 { studentFLOPs += forward }
    var ofRank = studentFLOPs * Double(passes.rank.sequences) / Double(max(1, work.load.sequences))
    if let teacher = work.teacher, work.asks(0), layout.payload == .hidden,
      layout.placement == .dedicated || isSharded(layout)
    {
      ofRank += teacher.headFLOPs(rows: teacher.rows(passes.rank))
    }
    self[.student] = ofRank / cluster.rate(work.studentFormat)
    let owned = Double(work.student.parameterCount) / (layout.sharding == .none ? 1 : Double(trainers))
    // Weight, gradient and two moments are read, three of them written, and the weight once more in bf16.
    let bytes = owned * (work.studentFormat == .bf16 ? 30 : 28)
    self[.optimizer] = bytes * Double(cluster.ranksPerNode) / cluster.memoryBandwidth
  }

  private func isSharded(_ layout: Layout) -> Bool { layout.placement == .sharded }

  private mutating func addExchange(
    _ work: StepWork, _ layout: Layout, _ passes: Passes, _ trainers: Int, _ traffic: TrafficPlan, _ cluster: Cluster
  ) {
    let grid = TrainingGrid(trainers: trainers, perNode: cluster.ranksPerNode)
    func seconds(_ bytes: Double, amongAll: Bool = false) -> Double {
      if bytes == 0 { return 0 }
      if amongAll || grid.ranks == 1 {
        return cluster.exchangeSeconds(bytes, group: trainers, messages: messages(bytes, trainers))
      }
      // All lanes of a node use its wire.
      return bytes * Double(grid.ranks) / cluster.between.bandwidth
        + messages(bytes, grid.nodes) * cluster.between.latency
    }
    let backward = self[.student] * 2 / 3
    let hidden =
      layout.sharding == .parameters || layout.sharding == .gradients ? backward : backward / Double(passes.count)
    let gradients = seconds(traffic[.gradients])
    // The ranks of a node read each other's gradients and write the sums, which does not overlap with computing.
    let dense = 4 * Double(FlatLayout(work.student, ranks: trainers, bucketBytes: work.bucketBytes).count)
    let inMemory = grid.ranks > 1 ? dense * Double(grid.ranks + 1) / cluster.memoryBandwidth : 0
    let last = gradients / Double(max(1, bucketCount(work, trainers)))
    self[.gradients] = max(last, gradients - hidden) + inMemory
    let rows = seconds(traffic[.rows], amongAll: layout.sharding == .parameters)
    let weights = seconds(traffic[.weights], amongAll: layout.sharding == .parameters)
    // The next block is gathered while the current one computes.
    self[.weights] = rows + (layout.sharding == .parameters ? max(0, weights - self[.student] / 3) : weights)
  }

  private func bucketCount(_ work: StepWork, _ ranks: Int) -> Int {
    FlatLayout(work.student, ranks: ranks, bucketBytes: work.bucketBytes).buckets.count
  }

  /// One message to each other rank per chunk of 4 MiB, or of 64 KiB per rank if that is more.
  private func messages(_ bytes: Double, _ ranks: Int) -> Double {
    let chunk = max(Double(4 << 20), Double(ranks) * Double(64 << 10))
    return (bytes / chunk).rounded(.up) * Double(ranks - 1)
  }

  private mutating func addTeacher(
    _ teacher: any NetworkSizes, _ work: StepWork, _ layout: Layout, _ passes: Passes, _ trainers: Int,
    _ memory: MemoryPlan, _ traffic: TrafficPlan, _ cluster: Cluster
  ) {
    teacherFLOPs = teacher.forwardFLOPs(work.load)
    let n = Double(layout.teacherRanks)
    let busy = layout.placement == .dedicated ? n : Double(trainers)
    let imbalance =
      layout.placement == .dedicated
      ? 1 : Double(passes.rank.sequences * trainers) / Double(max(1, work.load.sequences))
    var products = teacherFLOPs * imbalance / busy / cluster.rate(work.teacherFormat)
    // A group of ranks that shares a teacher cuts requests into its own passes.
    let isWhole = layout.placement == .resident || layout.placement == .streamed
    let groups = layout.placement == .sharded ? Double(trainers) / n : 1
    let ownPasses = (Double(work.load.tokens) / groups / Double(work.teacherPass(layout, passes, trainers: trainers)))
      .rounded(.up)
    let microBatches = isWhole ? Double(passes.count) : ownPasses
    if layout.split == .pipeline, !isWhole {
      products /= 1 - Formulas.bubble(stages: layout.teacherRanks, microBatches: Int(microBatches))
    }
    let whole = Double(teacher.frozenBytes(work.teacherFormat))
    // Every pass reads every weight once.
    let reads = microBatches * (isWhole ? whole : whole / n)
    let sharers = Double(cluster.ranksPerNode)
    let fromMemory = reads * sharers / cluster.memoryBandwidth
    self[.teacher] = max(products, fromMemory)
    if layout.placement == .streamed, whole > cluster.usableMemory - memory.trainingNode {
      // The ranks of a node that are at the same layer read it once.
      self[.disk] = max(0, Double(passes.count) * whole / cluster.diskBandwidth - self[.teacher])
    }
    addTeacherTraffic(teacher, layout, microBatches, traffic, cluster)
  }

  private mutating func addTeacherTraffic(
    _ teacher: any NetworkSizes, _ layout: Layout, _ microBatches: Double, _ traffic: TrafficPlan, _ cluster: Cluster
  ) {
    guard layout.placement == .sharded || layout.placement == .dedicated else { return }
    let n = layout.teacherRanks
    let sums = 2 * Double(teacher.layerCount) * 2 * log2(Double(max(2, n))) * microBatches
    let inside =
      layout.split == .tensor
      ? cluster.exchangeSeconds(traffic[.sums], group: n, messages: sums)
      : boundarySeconds(traffic[.boundaries], n, microBatches, cluster)
    let outside =
      layout.placement == .dedicated
      ? traffic[.signals] * Double(min(n, cluster.ranksPerNode))
        / (cluster.ranks > cluster.ranksPerNode ? cluster.between : cluster.within).bandwidth
      : cluster.exchangeSeconds(traffic[.signals], group: n, messages: Double(n - 1))
    self[.teacherTraffic] =
      layout.placement == .dedicated ? max(0, inside + outside - hidden(layout)) : inside + outside
  }

  /// The time that hides a pipeline's communication: the next micro-batch computes meanwhile. Sums inside a layer of a
  /// tensor-parallel teacher are not hidden.
  private func hidden(_ layout: Layout) -> Double { layout.split == .pipeline ? self[.teacher] : 0 }

  /// Seconds between two neighbouring pipeline stages: one of every `ranksPerNode` boundaries leaves the node.
  private func boundarySeconds(_ bytes: Double, _ ranks: Int, _ microBatches: Double, _ cluster: Cluster) -> Double {
    let leaves = ranks > cluster.ranksPerNode
    let link = leaves ? cluster.between : cluster.within
    let sending = leaves ? 1 : Double(min(ranks, cluster.ranksPerNode))
    return bytes * sending / link.bandwidth + microBatches * link.latency
  }
}
