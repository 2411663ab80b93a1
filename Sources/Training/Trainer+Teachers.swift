import Collectives
import Datasets
import Objectives
import Platform
import Teachers

extension Trainer {
  /// Whether a teacher needs to know the batch after the current one.
  package var teacherWorksAhead: Bool { teachers.contains { $0.ahead != nil } }

  /// The number of weights of all teachers; 0 without teachers.
  package var teacherParameterCount: Int { teachers.reduce(0) { $0 + $1.parameterCount } }

  /// The passes of a rank (by default this one) for a global batch: its micro-batches, each split by tokens.
  func passes(of batch: [Int], rank: Int? = nil) -> [[Int]] {
    let count = configuration.accumulation
    let parts = Sampler.partition(batch, lengths: lengths, parts: communicator.size * count)
    return (0..<count).flatMap {
      Sampler.passes(
        parts[$0 * communicator.size + (rank ?? communicator.rank)], lengths: lengths,
        tokens: configuration.passTokens)
    }
  }

  /// The largest number of passes on any rank.
  func mostPasses(of batch: [Int]) -> Int {
    (0..<communicator.size).reduce(0) { max($0, passes(of: batch, rank: $1).count) }
  }

  /// The indices of the teachers that the current stage reads.
  private var askedTeachers: [Int] {
    teachers.indices.filter { stages[stage].needs[$0].logits || stages[stage].needs[$0].areInner }
  }

  /// This rank's requests to a teacher: its passes, padded with empty requests for a teacher that all ranks must call
  /// equally often.
  private func requests(_ passes: [[Int]], of batch: [Int], to teacher: any Teacher) -> [[Int]] {
    guard teacher.isCollective else { return passes }
    return passes + Array(repeating: [], count: mostPasses(of: batch) - passes.count)
  }

  /// Announces this batch, unless already announced, and the next one to the teachers that compute ahead.
  func announce(of batch: [Int], next: [Int]?) throws {
    let waiting = askedTeachers.compactMap { place in teachers[place].ahead.map { (teachers[place], $0) } }
    if waiting.isEmpty { return }
    for (teacher, ahead) in waiting {
      if announced != batch { try ahead.announce(requests(passes(of: batch), of: batch, to: teacher), in: .train) }
      if let next { try ahead.announce(requests(passes(of: next), of: next, to: teacher), in: .train) }
    }
    announced = next
  }

  /// Discards what teachers have computed ahead and no step has requested; called by all ranks.
  func forgetAnnounced() throws {
    for teacher in teachers { try teacher.ahead?.forget() }
    announced = nil
  }

  /// The requests of an optimizer step to all teachers, and their cost.
  struct Questions {
    private let teachers: [any Teacher]
    private let needs: [SignalNeeds]
    /// The requests to each teacher that the stage reads, one per pass.
    private let requests: [Int: [[Int]]]
    private let computedBefore: Double
    /// Seconds that this rank has spent on signals.
    private(set) var seconds = 0.0

    init(_ trainer: Trainer, _ passes: [[Int]], of batch: [Int]) {
      teachers = trainer.teachers
      needs = trainer.stages[trainer.stage].needs
      requests = Dictionary(
        uniqueKeysWithValues: trainer.askedTeachers.map {
          ($0, trainer.requests(passes, of: batch, to: trainer.teachers[$0]))
        })
      computedBefore = teachers.reduce(0) { $0 + $1.computedFLOPs }
    }

    /// The largest number of requests to one teacher.
    var rounds: Int { requests.values.reduce(0) { max($0, $1.count) } }

    /// FLOPs that this rank has computed for the signals.
    var flops: Double { teachers.reduce(0) { $0 + $1.computedFLOPs } - computedBefore }

    /// The signals of all teachers for a round; nil for a teacher without a request in it.
    mutating func ask(_ round: Int, _ samples: [Int]) throws -> [TeacherSignals?] {
      let clock = ContinuousClock()
      let start = clock.now
      defer { seconds += (clock.now - start).seconds }
      return try teachers.indices.map { place in
        guard let requests = requests[place], round < requests.count else { return nil }
        return try teachers[place].signals(for: samples, in: .train, needs: needs[place])
      }
    }
  }

  /// Lets every rank read the teacher signals that any rank has computed; collective, at the end of an epoch.
  ///
  /// - Returns: remarks for the user about the signal cache.
  package func shareSignals() throws -> [String] {
    if teachers.isEmpty { return [] }
    let keepers = teachers.compactMap(\.keeper)
    for keeper in keepers { keeper.publishSignals() }
    // The gathered remarks of all ranks also show that every rank has published.
    let own = teachers.compactMap { $0.takeRemark() }.joined(separator: "; ")
    let remarks = try communicator.allGather(text: own)
    for keeper in keepers { keeper.collectSignals() }
    return remarks.reduce(into: []) { if !$1.isEmpty, !$0.contains($1) { $0.append($1) } }
  }
}
