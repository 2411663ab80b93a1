/// What travels between ranks.
public enum TrafficKind: String, Sendable, CaseIterable {
  /// Sums of the student's gradients.
  case gradients
  /// The student's updated weights, or, where these are divided, those of the block in use.
  case weights
  /// Rows of embedding tables and their gradients; at most, since a batch may have a token twice.
  case rows
  /// Sums inside the teacher's layers, where they are cut.
  case sums
  /// States between the teacher's stages.
  case boundaries
  /// What the teacher says.
  case signals
}

/// The bytes that a rank sends in an optimizer step, by kind: the mean over the ranks that do.
public struct TrafficPlan: Sendable, Equatable {
  private var bytes: [TrafficKind: Double] = [:]
  /// Bytes that a rank sends of a kind.
  public private(set) subscript(kind: TrafficKind) -> Double {
    get { bytes[kind] ?? 0 }
    set { bytes[kind] = newValue }
  }
  /// Bytes of the teacher's signals for one row.
  public private(set) var rowBytes = 0

  /// Everything that a rank sends.
  public var total: Double { bytes.values.reduce(0, +) }

  /// The traffic of `work` on so many ranks.
  public init(_ work: StepWork, _ layout: Layout, ranks: Int) {
    let trainers = layout.trainers(of: ranks)
    let passes = work.passes(trainers: trainers)
    addStudent(work, layout, trainers, passes)
    if let teacher = work.teacher { addTeacher(teacher, work, layout, trainers) }
  }

  /// n = 4 bytes an element of the flat buffer. None: (N − 1)/N·n of gradients twice, there and back; optimizer: once,
  /// and as much of weights; gradients: the first for each pass; parameters: besides, weights when a pass needs them.
  private mutating func addStudent(_ work: StepWork, _ layout: Layout, _ ranks: Int, _ passes: Passes) {
    let flat = FlatLayout(work.student, ranks: ranks, bucketBytes: work.bucketBytes, layout.sharding)
    let half = Formulas.halfBytes(4 * Double(flat.count), ranks: ranks)
    let count = Double(passes.count)
    switch layout.sharding {
    case .none: self[.gradients] = 2 * half
    case .optimizer: (self[.gradients], self[.weights]) = (half, half)
    case .gradients: (self[.gradients], self[.weights]) = (count * half, half)
    case .parameters:
      let gathered = flat.visits(passes: passes.count, isTied: work.student.isTied).gathered
      (self[.gradients], self[.weights]) = (count * half, Formulas.halfBytes(4 * Double(gathered), ranks: ranks))
    }
    let touched = min(work.student.lookupRows, work.load.tokens)
    let places = (touched + ranks - 1) / ranks * ranks
    self[.rows] = Formulas.allReduceBytes(4 * Double(places * work.student.lookupColumns), ranks: ranks)
  }

  private mutating func addTeacher(_ teacher: any NetworkSizes, _ work: StepWork, _ layout: Layout, _ trainers: Int) {
    rowBytes = layout.payload.rowBytes(
      classes: teacher.classCount, hidden: teacher.hiddenSize, work.teacherFormat)
    let n = layout.teacherRanks
    guard layout.placement == .sharded || layout.placement == .dedicated else { return }
    let groups = layout.placement == .sharded ? trainers / max(n, 1) : 1
    if layout.split == .tensor {
      // Sums are taken in f32 by all members of a group.
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

  /// A group's answers: what the rank with the head, or each of the slices, sends to others, shared out among all.
  private func signals(_ teacher: any NetworkSizes, _ work: StepWork, _ layout: Layout) -> Double {
    let n = Double(layout.teacherRanks)
    let whole = Double(teacher.rows(work.load)) * Double(rowBytes)
    // A slice has its own classes of a vocabulary, and of these the k best; states and few classes are in all slices.
    let isAlike = layout.payload == .hidden || !teacher.isLanguageModel
    let isTopK = !layout.payload.isExact && layout.split == .tensor && !isAlike
    // Of a group's rows a member that trains has 1/N itself; ranks that only teach send all.
    let away = layout.placement == .sharded ? (layout.split == .tensor && isAlike ? 0 : (n - 1) / n) : 1
    return whole * (isTopK ? n : 1) * away / n
  }
}
