import Collectives
import Models
import Platform
import Teachers

extension ChainRunner {
  /// Runs `body` with the teacher of a step on the ranks that train, while others, where there are such, only teach.
  /// Collective.
  ///
  /// - Parameters:
  ///   - digest: of the teacher's files; nil for a step without a teacher.
  ///   - quietly: without a word on where the teacher is.
  ///   - body: collective over the ranks that train; it gets their communicator.
  /// - Returns: what `body` returned; nil on a rank that only taught.
  /// Throws on all ranks what `body` throws on those that train.
  func withTeacher<T>(
    of step: ResolvedStep, _ digest: String?, quietly: Bool = false,
    _ body: (_ teacher: (any Teacher)?, any Communicator) throws -> T
  ) throws -> T? {
    placementReport = nil
    guard let digest, let teacher = step.teacher, let data = plan.data[step.index].teacher else {
      return try body(nil, communicator)
    }
    let wanted = plan.chain.parallel.teacherPlacement
    if wanted.placement == .resident, wanted.payload == .logits {
      return try body(Trace.span("load teacher") { try resident(step, teacher, data, digest) }, communicator)
    }
    let stage = TeacherStage(self, step, teacher, data, digest, isQuiet: quietly)
    return wanted.placement == .dedicated ? try stage.dedicated(body) : try stage.shared(body)
  }

  /// The teacher of a step, whole on each rank, which remembers what it said where the chain file allows it.
  /// Collective.
  private func resident(_ step: ResolvedStep, _ teacher: ResolvedModel, _ data: SplitData, _ digest: String) throws
    -> any Teacher
  {
    let precision = plan.teacherPrecision(of: step)
    let frozen = try communicator.agree {
      try FrozenModel(directory: plan.directory(of: teacher.place), labels: plan.classes, precision: precision)
    }
    let load = try weights(of: frozen, digest, sharedBy: communicator)
    let resident = ResidentTeacher(
      name: teacher.reference, frozen: frozen, train: data.train, validation: data.validation, precision: precision,
      load: load)
    let parallel = plan.chain.parallel
    // What a language model says of a document is too much to keep.
    guard parallel.cachesTeacher, plan.keepsSignals, let root = plan.cacheDirectory else { return resident }
    let store = SignalStore(
      root: joinPath(root, "teachers"),
      key: SignalKey.of(
        teacher: digest, labels: plan.labels.names, precision: precision,
        program: SignalKey.program),
      width: resident.classCount,
      expected: data.train.count + data.validation.count,
      limits: SignalStore.Limits(bytes: parallel.teacherCacheLimit, writers: communicator.size),
      about: teacher.reference)
    return CachedTeacher(resident, train: data.train, validation: data.validation, store: store)
  }

  /// What brings a teacher's weights: from a file, when they are needed, where they may be kept; else they are brought
  /// now, to memory that the ranks of a node share. Collective over the ranks that want the same weights.
  func weights(of frozen: FrozenModel, _ digest: String, sharedBy ranks: any Communicator) throws
    -> (FrozenModel) throws -> String?
  {
    let parallel = plan.chain.parallel
    let key = KeptWeights.key(teacher: digest, labels: plan.labels.names, form: frozen.form)
    let fits = parallel.cachesTeacher && frozen.byteCount < parallel.teacherCacheLimit
    let kept = (fits ? plan.cacheDirectory : nil).flatMap { root in
      try? KeptWeights(root: joinPath(root, "teachers"), key: key, limit: parallel.teacherCacheLimit,
        about: "teacher \(digest.prefix(12))")
    }
    if try ranks.all(kept != nil), let kept { return kept.load }
    let remark = try NodeWeights.load(frozen, on: ranks)
    return { _ in remark }
  }
}

/// What the cache of a step's teacher did, over all ranks.
struct SignalReport: Equatable {
  private let counts: CachedTeacher.Statistics

  /// nil for a teacher without a cache; collective where there is one.
  init?(of teacher: (any Teacher)?, on communicator: any Communicator) throws {
    guard let own = (teacher as? CachedTeacher)?.statistics else { return nil }
    let sums = try communicator.allReduce([own.hits, own.misses, own.bytesRead, own.bytesWritten], .sum)
    counts = CachedTeacher.Statistics(hits: sums[0], misses: sums[1], bytesRead: sums[2], bytesWritten: sums[3])
  }

  /// Examples that were read, of all that were asked for; 0 where none was.
  private var hitRate: Double { Double(counts.hits) / Double(max(1, counts.hits + counts.misses)) }

  /// The line for people.
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
