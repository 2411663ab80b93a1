import Collectives
import Models
import Platform
import Teachers

/// The training ranks of a job and the ranks of its dedicated teachers.
///
///     rank    0 1 … S−1 │ ranks of the first dedicated teacher │ those of the second │ …
struct JobRoles {
  /// S.
  let students: Int
  /// The ranks of each dedicated teacher, by its index among the given teachers.
  private let ranks: [Int: Range<Int>]

  init(_ teachers: [ResolvedTeacher], ranks count: Int) {
    let own = teachers.enumerated().filter { $0.element.placement.placement == .dedicated }
      .map { ($0.offset, $0.element.placement.groupSize(of: count)) }
    var next = count - own.reduce(0) { $0 + $1.1 }
    students = next
    var ranks: [Int: Range<Int>] = [:]
    for (place, size) in own {
      ranks[place] = next..<next + size
      next += size
    }
    self.ranks = ranks
  }

  /// The teacher that a rank serves; nil for a training rank.
  func teacher(of rank: Int) -> Int? { ranks.first { $0.value.contains(rank) }?.key }

  /// The indices of the dedicated teachers.
  var dedicated: [Int] { ranks.keys.sorted() }
}

extension ChainRunner {
  /// Runs `body` with the teachers of a step on the training ranks, while the ranks of dedicated teachers serve them.
  /// Collective.
  ///
  /// - Parameters:
  ///   - digests: digests of the teachers' files, in the order of `only` or of the step; empty for a step without
  ///     teachers.
  ///   - only: the single teacher to place; nil for all teachers of the step.
  ///   - quietly: omits the log lines about the placement.
  ///   - body: collective over the training ranks; receives the teachers and their communicator.
  /// - Returns: the result of `body`; nil on a rank that only teaches.
  /// Throws the error of `body` on all ranks.
  func withTeachers<T>(
    of step: ResolvedStep, _ digests: [String], only: Int? = nil, quietly: Bool = false,
    _ body: (_ teachers: [any Teacher], any Communicator) throws -> T
  ) throws -> T? {
    placementReports = [:]
    let places = digests.isEmpty ? [] : only.map { [$0] } ?? Array(step.teachers.indices)
    let roles = JobRoles(places.map { step.teachers[$0] }, ranks: communicator.size)
    let taught = roles.teacher(of: communicator.rank).map { places[$0] }
    let students =
      roles.dedicated.isEmpty
      ? communicator : try communicator.split(color: taught == nil ? 0 : 1, key: communicator.rank)
    // Each link joins the students with the ranks of one teacher; every rank takes part in creating every link.
    var links: [Int: any Communicator] = [:]
    for own in roles.dedicated {
      let takesPart = taught == nil || taught == places[own]
      links[places[own]] =
        roles.dedicated.count == 1
        ? communicator : try communicator.split(color: takesPart ? 0 : 1, key: communicator.rank)
    }
    let placing = Placing(
      step: step, places: places, digests: digests, taught: taught, students: students, links: links)
    return try place(placing, 0, [], quietly, body)
  }

  /// The constants of one `withTeachers` call.
  private struct Placing {
    let step: ResolvedStep
    let places: [Int]
    let digests: [String]
    /// The teacher that this rank serves; nil on a training rank.
    let taught: Int?
    let students: any Communicator
    let links: [Int: any Communicator]
  }

  /// Places the teachers from index `next` on, then runs `body` inside.
  private func place<T>(
    _ placing: Placing, _ next: Int, _ placed: [any Teacher], _ quietly: Bool,
    _ body: ([any Teacher], any Communicator) throws -> T
  ) throws -> T? {
    guard next < placing.places.count else { return placing.taught == nil ? try body(placed, placing.students) : nil }
    let place = placing.places[next]
    func rest(_ teacher: (any Teacher)?) throws -> T? {
      try self.place(placing, next + 1, placed + (teacher.map { [$0] } ?? []), quietly, body)
    }
    // A rank that serves another teacher skips this one.
    if let taught = placing.taught, taught != place { return try rest(nil) }
    let (teacher, digest) = (placing.step.teachers[place], placing.digests[next])
    let data = plan.data[placing.step.index].teachers[place]
    let wanted = teacher.placement
    if wanted.placement == .resident, wanted.payload == .logits {
      return try rest(
        Trace.span("load teacher") { try resident(placing.step, teacher, data, digest, on: placing.students) })
    }
    let stage = TeacherStage(
      self, placing.step, place, data, digest, isQuiet: quietly, on: placing.links[place] ?? placing.students)
    if wanted.placement == .dedicated { return try stage.dedicated { teacher, _ in try rest(teacher) } ?? nil }
    return try stage.shared { teacher, _ in try rest(teacher) }
  }

  /// A teacher that is whole on each rank, with a signal cache if the chain file allows it. Collective.
  private func resident(
    _ step: ResolvedStep, _ teacher: ResolvedTeacher, _ data: SplitData, _ digest: String,
    on students: any Communicator
  ) throws -> any Teacher {
    let precision = plan.precision(of: teacher, in: step)
    let model = teacher.model
    let frozen = try students.agree {
      try FrozenModel(
        directory: plan.directory(of: model.place), task: plan.chain.metadata.task.kind, labels: plan.classes,
        precision: precision)
    }
    let load = try weights(of: frozen, digest, teacher.placement, sharedBy: students)
    let resident = ResidentTeacher(
      name: model.reference, frozen: frozen, train: data.train, validation: data.validation, precision: precision,
      load: load)
    // Signals of a language model are too large to cache.
    guard teacher.placement.isCached, plan.keepsSignals, let root = plan.cacheDirectory else { return resident }
    let store = SignalStore(
      root: joinPath(root, "teachers"),
      key: SignalKey.of(
        teacher: digest, labels: plan.labels.names, precision: precision,
        program: SignalKey.program),
      width: resident.classCount,
      expected: data.train.count + data.validation.count,
      limits: SignalStore.Limits(bytes: teacher.placement.cacheLimit, writers: students.size),
      about: model.reference)
    return CachedTeacher(resident, train: data.train, validation: data.validation, store: store)
  }

  /// The function that loads a teacher's weights: from a cache file on first use if they may be cached; otherwise the
  /// weights are loaded now, into memory shared by the ranks of a node. Collective over the ranks that want the same
  /// weights.
  func weights(
    of frozen: FrozenModel, _ digest: String, _ placement: TeacherPlacementConfiguration,
    sharedBy ranks: any Communicator
  ) throws -> (FrozenModel) throws -> String? {
    let key = KeptWeights.key(teacher: digest, labels: plan.labels.names, form: frozen.form)
    let fits = placement.isCached && frozen.byteCount < placement.cacheLimit
    let kept = (fits ? plan.cacheDirectory : nil).flatMap { root in
      try? KeptWeights(
        root: joinPath(root, "teachers"), key: key, limit: placement.cacheLimit, about: "teacher \(digest.prefix(12))")
    }
    if try ranks.all(kept != nil), let kept { return kept.load }
    let remark = try NodeWeights.load(frozen, on: ranks)
    return { _ in remark }
  }
}

/// The activity of the signal caches of a step's teachers, over all ranks.
struct SignalReport: Equatable {
  private let counts: CachedTeacher.Statistics

  /// Sums the statistics; nil if no teacher has used a cache. Collective if a teacher has one.
  init?(of teachers: [any Teacher], on communicator: any Communicator) throws {
    let own = teachers.compactMap { $0.keeper?.statistics }
    if own.isEmpty { return nil }
    // Signals are not cached if objectives read values inside the teachers.
    guard try communicator.any(own.contains { $0 != CachedTeacher.Statistics() }) else { return nil }
    func total(_ path: KeyPath<CachedTeacher.Statistics, Int>) -> Int { own.reduce(0) { $0 + $1[keyPath: path] } }
    let sums = try communicator.allReduce(
      [total(\.hits), total(\.misses), total(\.bytesRead), total(\.bytesWritten)], .sum)
    counts = CachedTeacher.Statistics(hits: sums[0], misses: sums[1], bytesRead: sums[2], bytesWritten: sums[3])
  }

  /// Cached signals among all requested ones, 0 to 1; 0 without requests.
  private var hitRate: Double { Double(counts.hits) / Double(max(1, counts.hits + counts.misses)) }

  /// The log line.
  var text: String {
    "teacher signals: \(fixed(100 * hitRate, 1)) % of \(grouped(counts.hits + counts.misses)) from the cache "
      + "(\(grouped(counts.bytesRead)) bytes), \(grouped(counts.misses)) computed, "
      + "\(grouped(counts.bytesWritten)) bytes written"
  }

  /// The record in step.json.
  var json: JSON {
    [
      "hits": .int(counts.hits), "misses": .int(counts.misses), "hit_rate": .double(hitRate),
      "bytes_read": .int(counts.bytesRead), "bytes_written": .int(counts.bytesWritten),
    ]
  }
}
