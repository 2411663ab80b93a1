import Collectives
import Models
import Platform
import Teachers

extension ChainRunner {
  /// The teacher of a step, which remembers what it said where the chain file allows it. Collective.
  ///
  /// - Parameter digest: of the teacher's files.
  func teacher(of step: ResolvedStep, _ digest: String) throws -> any Teacher {
    guard let teacher = step.teacher, let data = plan.data[step.index].teacher else {
      throw RetortError(.unexpected, "step \(step.id) has no teacher")
    }
    let loaded = try communicator.agree {
      try ModelLoader.load(directory: plan.directory(of: teacher.place), labels: plan.labels)
    }
    let resident = ResidentTeacher(
      name: teacher.reference, model: loaded.model, train: data.train, validation: data.validation,
      precision: plan.precision(of: step))
    let parallel = plan.chain.parallel
    guard parallel.cachesTeacher, let root = plan.cacheDirectory else { return resident }
    let store = SignalStore(
      root: joinPath(root, "signals"),
      key: SignalKey.of(
        teacher: digest, labels: plan.labels.names, precision: plan.precision(of: step),
        program: SignalKey.program),
      width: resident.classCount,
      expected: data.train.count + data.validation.count,
      limits: SignalStore.Limits(bytes: parallel.teacherCacheLimit, writers: communicator.size))
    return CachedTeacher(resident, train: data.train, validation: data.validation, store: store)
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
