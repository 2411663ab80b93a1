import Collectives
import Datasets
import Models
import Platform
import Teachers
import Tensors

/// Places the teacher of a step as the chain file says, and releases it after the step.
struct TeacherStage {
  private let runner: ChainRunner
  private let step: ResolvedStep
  /// The teacher's index among the step's teachers.
  private let place: Int
  private let teacher: ResolvedModel
  private let data: SplitData
  private let digest: String
  private let wanted: TeacherPlacementConfiguration
  private let precision: Precision
  private let payload: SignalPayload
  private let isQuiet: Bool

  init(
    _ runner: ChainRunner, _ step: ResolvedStep, _ place: Int, _ data: SplitData, _ digest: String, isQuiet: Bool,
    on world: any Communicator
  ) {
    self.world = world
    self.place = place
    let teacher = step.teachers[place]
    self.isQuiet = isQuiet
    self.runner = runner
    self.step = step
    self.teacher = teacher.model
    self.data = data
    self.digest = digest
    wanted = teacher.placement
    precision = runner.plan.precision(of: teacher, in: step)
    payload = runner.plan.payload(of: teacher, in: step)
  }

  /// The training ranks, plus the teacher's own ranks if it is dedicated.
  private let world: any Communicator
  /// Whether layers are streamed from a file; a run without a cache directory has no such file.
  private var task: TaskKind { runner.plan.chain.metadata.task.kind }
  private var isStreamed: Bool { wanted.placement == .streamed && runner.plan.cacheDirectory != nil }

  /// Runs `body` with a teacher on the training ranks: sharded over groups of them, or whole on each.
  func shared<T>(_ body: (any Teacher, any Communicator) throws -> T) throws -> T {
    let size = wanted.groupSize(of: world.size)
    let group = try world.split(color: world.rank / size, key: world.rank)
    let placed = try Trace.span("load teacher") { () -> ShardedTeacher in
      let whole = try whole()
      let part = wanted.sharding.part(rank: group.rank, of: size, of: whole)
      let (frozen, bytes) = try load(part, asking: true, holders: world.split(color: group.rank, key: world.rank))
      let head = try head(onRanks: world)
      let model = try staged(frozen)
      try report(isStreamed ? LayerStream.largestBytes(of: model) : bytes, whole: try wholeBytes())
      return try ShardedTeacher(
        name: teacher.reference, whole: whole, part: model, head: head, sharding: wanted.sharding,
        payload: payload, precision: precision, train: data.train, validation: data.validation,
        residency: isStreamed ? LayerStream(model) : nil, on: group)
    }
    let result = try body(placed, world)
    try finish(placed.traffic, teachers: nil, on: world)
    return result
  }

  /// Runs `body` with a teacher on the last ranks of the job, which serve it while the other ranks run `body`.
  func dedicated<T>(_ body: (any Teacher, any Communicator) throws -> T) throws -> T? {
    let roles = TeachingRoles(ranks: world.size, teachers: wanted.groupSize(of: world.size))
    let teaches = roles.teaches(world.rank)
    let own = try world.split(color: teaches ? 1 : 0, key: world.rank)
    let size = roles.teachers
    let part = try teaches ? wanted.sharding.part(rank: own.rank, of: size, of: whole()) : .whole
    // Each teacher rank holds its own part; the students form a group that holds nothing.
    let holders = try world.split(color: teaches ? 1 + own.rank : 0, key: world.rank)
    let (frozen, bytes) = try load(part, asking: teaches, holders: holders)
    let head = try head(onRanks: own, wanted: !teaches)
    try report(bytes, whole: try wholeBytes())
    if teaches {
      let service = try TeacherService(
        try staged(frozen), wanted.sharding, payload: payload, precision: precision, train: data.train,
        validation: data.validation, roles: roles, link: world, on: own)
      try Trace.span("teach") { try service.serve() }
      try world.share(nil)
      return nil
    }
    let placed = try DedicatedTeacher(
      name: teacher.reference, whole: try staged(try whole()), head: head, payload: payload, precision: precision,
      train: data.train, validation: data.validation, roles: roles, on: world)
    let outcome = Result { try body(placed, own) }
    if case .failure(let failure) = outcome, !RetortError.wrap(failure).isCollective {
      // The other students do not know of the failure: the job ends here, and the teacher with it.
      throw failure
    }
    let taught = try placed.end()
    if case .failure(let failure) = outcome { try world.share(RetortError.wrap(failure)) } else { try world.share(nil) }
    try finish(placed.traffic, teachers: taught, on: own)
    return try outcome.get()
  }

  /// Records the cost of the teacher's signals; collective over the training ranks.
  ///
  /// - Parameter taught: the traffic of the dedicated teacher ranks; nil without them.
  private func finish(_ own: TeacherTraffic, teachers taught: TeacherTraffic?, on students: any Communicator) throws {
    let sum = try TeacherTraffic.sum(own, on: students)
    let waited = try students.allReduce(own.waitedSeconds, .max)
    runner.placementReports[place]?.take(sum, longestWait: waited, teachers: taught)
    if !isQuiet, let report = runner.placementReports[place] { runner.observer.note(report.end) }
  }

  /// This rank's part of the teacher, with its weights; collective over all ranks.
  ///
  /// - Parameters:
  ///   - asking: whether this rank holds a part.
  ///   - holders: the ranks that hold the same part.
  private func load(_ part: ModelPart, asking: Bool, holders: any Communicator) throws
    -> (frozen: FrozenModel?, bytes: Int)
  {
    let directory = runner.plan.directory(of: teacher.place)
    let frozen = try world.agree {
      asking
        ? try FrozenModel(
          directory: directory, task: task, labels: runner.plan.classes, precision: precision, part: part) : nil
    }
    var remark: String?
    if let frozen {
      let load = try runner.weights(of: frozen, digest, wanted, sharedBy: holders)
      remark = try load(frozen)
    }
    try world.agree { if isStreamed { try requireMapped(remark, frozen) } }
    try tell([remark].compactMap { $0 })
    return (frozen, frozen?.byteCount ?? 0)
  }

  /// Refuses a streamed teacher whose weights would be in memory instead of a file.
  private func requireMapped(_ remark: String?, _ frozen: FrozenModel?) throws {
    let (limit, bytes) = (wanted.cacheLimit, frozen?.byteCount ?? 0)
    if bytes < limit, remark == nil { return }
    let why = remark ?? "its weights are \(grouped(bytes)) bytes, and teacher.cache_limit is \(grouped(limit))"
    throw RetortError(
      .checkpoint, "a streamed teacher is read from a file: \(why)", at: runner.plan.cacheDirectory,
      remedy: "make room in the cache directory (RETORT_CACHE), raise teacher.cache_limit, or use placement: sharded")
  }

  /// The head that turns hidden states into logits, if hidden states are the payload; collective over ranks with
  /// the same `isWanted`.
  private func head(onRanks ranks: any Communicator, wanted isWanted: Bool = true) throws -> TeacherHead? {
    guard payload == .hidden, isWanted else { return nil }
    let directory = runner.plan.directory(of: teacher.place)
    let frozen = try ranks.agree {
      try FrozenModel(
        directory: directory, task: task, labels: runner.plan.classes, precision: precision, only: .head)
    }
    _ = try runner.weights(of: frozen, digest, wanted, sharedBy: ranks)(frozen)
    return TeacherHead(try staged(frozen))
  }

  private func staged(_ frozen: FrozenModel?) throws -> any StagedModel { try staged(frozen?.model) }

  private func staged(_ model: (any Model)?) throws -> any StagedModel {
    guard let model = model as? any StagedModel else {
      throw RetortError(.unexpected, "the teacher \(teacher.reference) has no layers")
    }
    return model
  }

  /// The whole model, without weights in memory.
  private func whole() throws -> any Model { try ModelLoader.build(teacher.configuration) }

  /// Bytes of the whole teacher in the form that a rank holds.
  private func wholeBytes() throws -> Int {
    try FrozenModel(teacher.configuration, from: .random, seed: 0, precision: precision).byteCount
  }

  /// Reports the remarks of all ranks, each once; collective.
  private func tell(_ remarks: [String]) throws {
    let all = try world.allGather(text: remarks.joined())
    Set(all).filter { !$0.isEmpty }.sorted().forEach(runner.observer.note)
  }

  private func report(_ bytes: Int, whole: Int) throws {
    let held = try world.allGather(bytes).filter { $0 > 0 }
    let model = try staged(try self.whole())
    let report = PlacementReport(
      wanted, ranks: world.size, payload: payload, precision: precision, heldBytes: held.max() ?? 0, wholeBytes: whole,
      model, of: task.definition)
    runner.placementReports[place] = report
    if !isQuiet { runner.observer.note(report.beginning) }
  }
}
