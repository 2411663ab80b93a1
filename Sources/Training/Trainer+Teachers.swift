import Collectives
import Datasets
import Objectives
import Platform
import Teachers

extension Trainer {
  /// Whether a teacher wants to know the batch after the one in hand.
  public var teacherWorksAhead: Bool { teachers.contains { $0.ahead != nil } }

  /// Weights of the teachers; 0 without one.
  public var teacherParameterCount: Int { teachers.reduce(0) { $0 + $1.parameterCount } }

  /// A rank's examples of a global batch (this rank's by default), cut into passes: by micro-batches, and those by
  /// tokens.
  func passes(of batch: [Int], rank: Int? = nil) -> [[Int]] {
    let count = configuration.accumulation
    let parts = Sampler.partition(batch, lengths: lengths, parts: communicator.size * count)
    return (0..<count).flatMap {
      Sampler.passes(
        parts[$0 * communicator.size + (rank ?? communicator.rank)], lengths: lengths,
        tokens: configuration.passTokens)
    }
  }

  /// The passes of the rank that has the most of them.
  func mostPasses(of batch: [Int]) -> Int {
    (0..<communicator.size).reduce(0) { max($0, passes(of: batch, rank: $1).count) }
  }

  /// The teachers that the stage in hand reads, by their places.
  private var askedTeachers: [Int] {
    teachers.indices.filter { stages[stage].needs[$0].logits || stages[stage].needs[$0].areInner }
  }

  /// What this rank asks a teacher for: its passes, padded with empty requests where all ranks must call equally often.
  private func requests(_ passes: [[Int]], of batch: [Int], to teacher: any Teacher) -> [[Int]] {
    guard teacher.isCollective else { return passes }
    return passes + Array(repeating: [], count: mostPasses(of: batch) - passes.count)
  }

  /// Tells the teachers that work ahead of this batch, unless they know already, and of the next one.
  func announce(of batch: [Int], next: [Int]?) throws {
    let waiting = askedTeachers.compactMap { place in teachers[place].ahead.map { (teachers[place], $0) } }
    if waiting.isEmpty { return }
    for (teacher, ahead) in waiting {
      if announced != batch { try ahead.announce(requests(passes(of: batch), of: batch, to: teacher), in: .train) }
      if let next { try ahead.announce(requests(passes(of: next), of: next, to: teacher), in: .train) }
    }
    announced = next
  }

  /// The questions of an optimizer step to all teachers, and what the answers have cost.
  struct Questions {
    private let teachers: [any Teacher]
    private let needs: [SignalNeeds]
    /// Of each teacher that is asked: what for, pass by pass.
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

    /// The most questions to one teacher.
    var rounds: Int { requests.values.reduce(0) { max($0, $1.count) } }

    /// Arithmetic that this rank has done for the answers.
    var flops: Double { teachers.reduce(0) { $0 + $1.computedFLOPs } - computedBefore }

    /// What the teachers say in a round; nil of one that is not asked.
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

  /// Lets every rank read the teacher signals that any of them has computed; collective, at the end of an epoch.
  ///
  /// - Returns: what the user should know of how they are kept, on rank 0.
  public func shareSignals() throws -> [String] {
    if teachers.isEmpty { return [] }
    let keepers = teachers.compactMap(\.keeper)
    for keeper in keepers { keeper.publishSignals() }
    // A rank that has the remarks of all knows that all have published.
    let own = teachers.compactMap { $0.takeRemark() }.joined(separator: "; ")
    let remarks = try communicator.allGather(text: own)
    for keeper in keepers { keeper.collectSignals() }
    return remarks.reduce(into: []) { if !$1.isEmpty, !$0.contains($1) { $0.append($1) } }
  }
}
