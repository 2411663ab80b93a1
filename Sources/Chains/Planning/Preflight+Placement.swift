import Models
import Platform
import Teachers

/// The location of a teacher's placement keys: the chain's, or the teacher's own.
struct PlacementPlace {
  let source: SourceLocations?
  /// The path before a key, relative to the source.
  let prefix: String

  /// The chain's own placement.
  init(_ parallel: ParallelConfiguration) { self.init(source: parallel.source, prefix: "teacher.") }

  init(source: SourceLocations?, prefix: String) {
    self.source = source
    self.prefix = prefix
  }

  /// The placement of a teacher of a step.
  init(of teacher: ResolvedTeacher, _ parallel: ParallelConfiguration) {
    if let own = teacher.placementSource { self.init(source: own, prefix: "") } else { self.init(parallel) }
  }

  func location(of key: String) -> String {
    source?.location(of: prefix + key) ?? "parallel.teacher.\(key)"
  }
}

extension Preflight {
  /// The ranks that train in a job of `ranks`; throws `.configuration` if the step's teachers leave none.
  static func trainingRanks(of step: ResolvedStep, ranks: Int) throws -> Int {
    // Dedicated teacher ranks do not belong to the groups of sharded teachers.
    let dedicated = step.teachers.map(\.placement).filter { $0.placement == .dedicated }
    let students = ranks - dedicated.reduce(0) { $0 + $1.groupSize(of: ranks) }
    if dedicated.count > 1, students < 1 {
      throw RetortError(
        .configuration,
        "\(ranks - students) ranks would only teach, but the job has \(ranks): at least one must train",
        at: step.configuration.source.location(of: "teacher"),
        remedy: "start more than \(ranks - students) ranks, or use another placement")
    }
    return students
  }

  /// Refuses placements of the step's teachers that the job's ranks or the teachers' sizes do not allow.
  static func checkPlacement(of step: ResolvedStep, _ parallel: ParallelConfiguration, ranks: Int) throws {
    let students = try trainingRanks(of: step, ranks: ranks)
    for teacher in step.teachers {
      let model = try ModelLoader.build(teacher.model.configuration)
      let place = PlacementPlace(of: teacher, parallel)
      let ranks = teacher.placement.placement == .dedicated ? ranks : students
      try checkCounts(
        of: teacher.model.reference, classes: model.classCount, teacher.placement, at: place, ranks: max(1, ranks))
      let size = teacher.placement.groupSize(of: max(1, ranks))
      do {
        let part = teacher.placement.sharding.part(rank: size - 1, of: size, of: model)
        _ = try ModelLoader.build(teacher.model.configuration, part: part)
      } catch {
        let failure = RetortError.wrap(error)
        throw refusal(
          place, "the teacher \(teacher.model.reference) cannot be divided like this: \(failure.what)", "ranks",
          failure.remedy ?? "use placement: resident")
      }
    }
  }

  /// Checks only the numbers: throws for too few ranks for the teacher, or too few classes for k.
  static func checkCounts(
    of teacher: String, classes: Int, _ wanted: TeacherPlacementConfiguration, at place: PlacementPlace, ranks: Int
  ) throws {
    if wanted.payload == .topK, wanted.topK > classes {
      throw refusal(
        place, "is \(wanted.topK), but the teacher \(teacher) has \(classes) classes", "top_k",
        "keep at most \(classes), or use payload: logits")
    }
    let size = wanted.groupSize(of: ranks)
    let job = "the job has \(ranks) \(ranks == 1 ? "rank" : "ranks")"
    switch wanted.placement {
    case .resident: break
    case .streamed:
      if !wanted.isCached {
        throw refusal(
          place, "is false, but a streamed teacher is read from a file in the cache directory", "cache",
          "omit it, or use placement: sharded")
      }
    case .sharded:
      if size > ranks {
        throw refusal(place, "is \(size), but \(job)", "ranks", "start more ranks, or divide the teacher over \(ranks)")
      }
      if ranks % size != 0 {
        throw refusal(
          place, "is \(size), but \(job), which do not form groups of \(size)", "ranks", "use a divisor of \(ranks)")
      }
    case .dedicated:
      if size >= ranks {
        throw refusal(
          place, "\(size) ranks would only teach, but \(job): at least one must train", "ranks",
          "start more than \(size) ranks, or use placement: sharded")
      }
    }
  }

  static func refusal(_ place: PlacementPlace, _ what: String, _ key: String, _ remedy: String) -> RetortError {
    RetortError(.configuration, what, at: place.location(of: key), remedy: remedy)
  }
}
