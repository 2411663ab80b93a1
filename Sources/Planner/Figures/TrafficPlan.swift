/// The kinds of traffic between ranks.
package enum TrafficKind: String, Sendable, CaseIterable {
  /// The student's gradients.
  case gradients
  /// The student's updated weights, or with sharded weights those that the passes gather.
  case weights
  /// Rows of embedding tables and their gradients; an upper bound, since a batch may contain a token twice.
  case rows
  /// Sums inside the layers of a tensor-parallel teacher.
  case sums
  /// States between the teacher's pipeline stages.
  case boundaries
  /// The teacher's signals.
  case signals
}

/// The bytes that a rank sends in an optimizer step, by kind: the mean over the ranks that send.
package struct TrafficPlan: Sendable, Equatable {
  private var bytes: [TrafficKind: Double] = [:]
  /// Bytes that a rank sends of a kind.
  package private(set) subscript(kind: TrafficKind) -> Double {
    get { bytes[kind] ?? 0 }
    set { bytes[kind] = newValue }
  }
  /// Bytes of the teacher's signals for one row.
  package private(set) var rowBytes = 0

  /// All bytes that a rank sends.
  package var total: Double { bytes.values.reduce(0, +) }

  /// Plans the traffic of `work` on the ranks of `cluster`.
  package init(_ work: StepWork, _ layout: Layout, on cluster: Cluster) {
    let trainers = layout.trainers(of: cluster.ranks)
    let passes = work.passes(trainers: trainers)
    addStudent(work, layout, trainers, passes, TrainingGrid(trainers: trainers, perNode: cluster.ranksPerNode))
    if let teacher = work.teacher, work.asks(0) { addTeacher(teacher, work, layout, trainers) }
  }

  /// With n = 4 bytes per element of the flat buffer, on N nodes of R ranks, and half = (N − 1)/N·n/R: `none` sends two
  /// halves of gradients; `optimizer` one half of gradients and one of weights; `gradients` one half of gradients per
  /// pass and one of weights; `parameters` one half of gradients per pass, and to all ranks the weights that its passes
  /// gather. Ranks of a node send nothing to each other otherwise. On wires of bf16 sums of gradients take half of
  /// that, and so do weights that passes read rounded.
  private mutating func addStudent(
    _ work: StepWork, _ layout: Layout, _ ranks: Int, _ passes: Passes, _ grid: TrainingGrid
  ) {
    let flat = FlatLayout(work.student, ranks: ranks, bucketBytes: work.bucketBytes, layout.sharding)
    let half = grid.halfBytes(4 * Double(flat.count))
    let gradients = half * Double(work.gradientWire.bytes) / 4
    let rounds = work.weightWire == .bf16 && work.studentFormat == .bf16
    let weights = rounds ? half - grid.halfBytes(2 * Double(work.student.roundedCount)) : half
    let count = Double(passes.count)
    switch layout.sharding {
    case .none: self[.gradients] = gradients + half
    case .optimizer: (self[.gradients], self[.weights]) = (gradients, weights)
    case .gradients: (self[.gradients], self[.weights]) = (count * gradients, weights)
    case .parameters:
      let gathered = flat.visits(passes: passes.count, isTied: work.student.isTied).gathered
      (self[.gradients], self[.weights]) = (count * gradients, Formulas.halfBytes(4 * Double(gathered), ranks: ranks))
    }
    let touched = min(work.student.lookupRows, work.load.tokens)
    let places = (touched + ranks - 1) / ranks * ranks
    let rows = 4 * Double(places * work.student.lookupColumns)
    let arriving = layout.sharding == .parameters ? Formulas.halfBytes(rows, ranks: ranks) : grid.halfBytes(rows)
    self[.rows] = arriving + grid.halfBytes(rows)
  }

  private mutating func addTeacher(_ teacher: any NetworkSizes, _ work: StepWork, _ layout: Layout, _ trainers: Int) {
    rowBytes = layout.payload.rowBytes(
      classes: teacher.classCount, hidden: teacher.hiddenSize, work.teacherFormat)
    let n = layout.teacherRanks
    guard layout.placement == .sharded || layout.placement == .dedicated else { return }
    let groups = layout.placement == .sharded ? trainers / max(n, 1) : 1
    if layout.split == .tensor {
      // The group's members sum in f32.
      let payload = 4 * Double(teacher.summedElements(work.load)) / Double(groups)
      self[.sums] = Formulas.allReduceBytes(payload, ranks: n)
    } else {
      let state = Formulas.boundaryPayload(
        tokens: work.load.tokens, hidden: teacher.hiddenSize,
        elementBytes: teacher.roundsStates ? work.teacherFormat.bytes : 4)
      self[.boundaries] = Double(state) / Double(groups) * Double(n - 1) / Double(n)
    }
    self[.signals] = signals(teacher, work, layout) / Double(groups)
  }

  /// The mean bytes that a member of a group sends as answers: the rank with the head, or each tensor-parallel shard,
  /// sends to others.
  private func signals(_ teacher: any NetworkSizes, _ work: StepWork, _ layout: Layout) -> Double {
    let n = Double(layout.teacherRanks)
    let whole = Double(teacher.rows(work.load)) * Double(rowBytes)
    // A shard has its own classes of the vocabulary, and sends the k best of them; states and the classes of a
    // classifier are the same on all shards.
    let isAlike = layout.payload == .hidden || !teacher.isLanguageModel
    let isTopK = !layout.payload.isExact && layout.split == .tensor && !isAlike
    // A training member keeps its own 1/N of the group's rows; dedicated ranks send all.
    let away = layout.placement == .sharded ? (layout.split == .tensor && isAlike ? 0 : (n - 1) / n) : 1
    return whole * (isTopK ? n : 1) * away / n
  }
}
