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

  /// n = 4 bytes an element of the flat buffer. None and optimizer: (N − 1)/N·n of gradients and as much of weights;
  /// gradients: the first for each pass; parameters: besides, the weights for each forward and each backward pass.
  private mutating func addStudent(_ work: StepWork, _ layout: Layout, _ ranks: Int, _ passes: Passes) {
    let flat = FlatLayout(work.student, ranks: ranks, bucketBytes: work.bucketBytes)
    let half = Formulas.halfBytes(4 * Double(flat.count), ranks: ranks)
    let count = Double(passes.count)
    self[.gradients] = half * (layout.sharding == .none || layout.sharding == .optimizer ? 1 : count)
    self[.weights] = half * (layout.sharding == .parameters ? 2 * count : 1)
    let touched = min(work.student.lookupRows, work.load.tokens)
    let places = (touched + ranks - 1) / ranks * ranks
    self[.rows] = Formulas.allReduceBytes(4 * Double(places * work.student.lookupColumns), ranks: ranks)
  }

  private mutating func addTeacher(_ teacher: any NetworkSizes, _ work: StepWork, _ layout: Layout, _ trainers: Int) {
    rowBytes = layout.payload.rowBytes(
      classes: teacher.classCount, hidden: teacher.hiddenSize, work.teacherFormat)
    let n = layout.teacherRanks
    guard layout.placement == .sharded || layout.placement == .dedicated else { return }
    let members = layout.placement == .sharded ? trainers : n
    let groups = Double(members / max(n, 1))
    let (tokens, rows) = (Double(work.load.tokens) / groups, Double(teacher.rows(work.load)) / groups)
    if layout.split == .tensor {
      // Sums are taken in f32 by all members of a group.
      let payload = Formulas.tensorParallelPayload(
        layers: teacher.layerCount, tokens: 1, hidden: teacher.hiddenSize, elementBytes: 4)
      self[.sums] = Formulas.allReduceBytes(tokens * Double(payload), ranks: n)
    } else {
      let state = Formulas.boundaryPayload(
        tokens: 1, hidden: teacher.hiddenSize,
        elementBytes: teacher.isLanguageModel ? 4 : work.teacherFormat.bytes)
      self[.boundaries] = tokens * Double(state * (n - 1)) / Double(n)
    }
    // Of a group's rows a member that trains has 1/N itself; ranks that only teach send all.
    let away = layout.placement == .sharded ? Double(n - 1) / Double(n) : 1
    let isEverywhere = layout.placement == .sharded && layout.split == .tensor && layout.payload == .hidden
    self[.signals] = isEverywhere ? 0 : rows * Double(rowBytes) * away / Double(n)
  }
}
