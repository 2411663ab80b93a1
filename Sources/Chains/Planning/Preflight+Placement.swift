import Models
import Platform
import Teachers

extension Preflight {
  /// Refuses a place of the step's teacher that the job's ranks or the teacher's sizes do not allow.
  static func checkPlacement(of step: ResolvedStep, _ parallel: ParallelConfiguration, ranks: Int) throws {
    guard let teacher = step.teacher else { return }
    let wanted = parallel.teacherPlacement
    func refusal(_ what: String, _ key: String, _ remedy: String) -> RetortError {
      let location = parallel.source?.location(of: "teacher.\(key)") ?? "parallel.teacher.\(key)"
      return RetortError(.configuration, what, at: location, remedy: remedy)
    }
    let classes = try ModelLoader.build(teacher.configuration).classCount
    if wanted.payload == .topK, wanted.topK > classes {
      throw refusal(
        "is \(wanted.topK), and the teacher \(teacher.reference) has \(classes) classes", "top_k",
        "keep at most \(classes), or use payload: logits")
    }
    let size = wanted.groupSize(of: ranks)
    let job = "the job has \(ranks) \(ranks == 1 ? "rank" : "ranks")"
    switch wanted.placement {
    case .resident, .streamed: break
    case .sharded:
      if size > ranks {
        throw refusal("is \(size), and \(job)", "ranks", "start more ranks, or spread the teacher over \(ranks)")
      }
      if ranks % size != 0 {
        throw refusal(
          "is \(size), and \(job), which are not groups of \(size)", "ranks", "use a divisor of \(ranks)")
      }
    case .dedicated:
      if size >= ranks {
        throw refusal(
          "\(size) of them would only teach, and \(job): at least one must train", "ranks",
          "start more than \(size) ranks, or use placement: sharded")
      }
    }
    do {
      _ = try ModelLoader.build(teacher.configuration, part: wanted.sharding.part(rank: size - 1, of: size))
    } catch {
      let failure = RetortError.wrap(error)
      throw refusal("the teacher \(teacher.reference) cannot be spread so: \(failure.what)", "ranks",
        failure.remedy ?? "use placement: resident")
    }
  }
}
