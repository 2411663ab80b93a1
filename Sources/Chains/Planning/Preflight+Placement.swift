import Models
import Platform
import Teachers

extension Preflight {
  /// Refuses a placement of the step's teacher that the job's ranks or the teacher's sizes do not allow.
  static func checkPlacement(of step: ResolvedStep, _ parallel: ParallelConfiguration, ranks: Int) throws {
    guard let teacher = step.teacher else { return }
    let model = try ModelLoader.build(teacher.configuration)
    try checkCounts(of: teacher.reference, classes: model.classCount, parallel, ranks: ranks)
    let wanted = parallel.teacherPlacement
    let size = wanted.groupSize(of: ranks)
    do {
      _ = try ModelLoader.build(teacher.configuration, part: wanted.sharding.part(rank: size - 1, of: size, of: model))
    } catch {
      let failure = RetortError.wrap(error)
      throw refusal(
        parallel, "the teacher \(teacher.reference) cannot be divided like this: \(failure.what)", "ranks",
        failure.remedy ?? "use placement: resident")
    }
  }

  /// Checks the numbers alone: throws if there are too few ranks for the teacher, or too few classes for k.
  static func checkCounts(of teacher: String, classes: Int, _ parallel: ParallelConfiguration, ranks: Int) throws {
    let wanted = parallel.teacherPlacement
    if wanted.payload == .topK, wanted.topK > classes {
      throw refusal(
        parallel, "is \(wanted.topK), but the teacher \(teacher) has \(classes) classes", "top_k",
        "keep at most \(classes), or use payload: logits")
    }
    let size = wanted.groupSize(of: ranks)
    let job = "the job has \(ranks) \(ranks == 1 ? "rank" : "ranks")"
    switch wanted.placement {
    case .resident: break
    case .streamed:
      if !parallel.cachesTeacher {
        throw refusal(
          parallel, "is false, but a streamed teacher is read from a file in the cache directory", "cache",
          "omit it, or use placement: sharded")
      }
    case .sharded:
      if size > ranks {
        throw refusal(
          parallel, "is \(size), but \(job)", "ranks", "start more ranks, or divide the teacher over \(ranks)")
      }
      if ranks % size != 0 {
        throw refusal(
          parallel, "is \(size), but \(job), which do not form groups of \(size)", "ranks",
          "use a divisor of \(ranks)")
      }
    case .dedicated:
      if size >= ranks {
        throw refusal(
          parallel, "\(size) ranks would only teach, but \(job): at least one must train", "ranks",
          "start more than \(size) ranks, or use placement: sharded")
      }
    }
  }

  static func refusal(_ parallel: ParallelConfiguration, _ what: String, _ key: String, _ remedy: String) -> RetortError
  {
    let location = parallel.source?.location(of: "teacher.\(key)") ?? "parallel.teacher.\(key)"
    return RetortError(.configuration, what, at: location, remedy: remedy)
  }
}
