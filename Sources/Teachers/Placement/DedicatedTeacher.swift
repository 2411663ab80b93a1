import Collectives
import Datasets
import Models
import Objectives
import Platform
import Tensors

/// Which ranks train (students) and which only teach.
///
///     rank    0 1 2 … S−1    S … S+N−1
///             train          teach
package struct TeachingRoles: Sendable, Equatable {
  /// S.
  package let students: Int
  /// N.
  package let teachers: Int

  /// Makes the last N ranks teachers; at least one rank must remain to train.
  package init(ranks: Int, teachers: Int) {
    precondition((1..<ranks).contains(teachers), "\(teachers) of \(ranks) ranks teach")
    self.teachers = teachers
    students = ranks - teachers
  }

  /// Whether a rank only teaches.
  package func teaches(_ rank: Int) -> Bool { rank >= students }

  /// The tags and kinds of messages between the two sides.
  enum Message {
    static let head = 21
    static let body = 22
    /// The kinds, with which a head begins.
    static let request = 1
    static let end = 0
  }
}

/// The training ranks' side of a teacher on dedicated ranks.
///
///     students    request 1, 2 │ train 1, request 3 │ train 2, request 4 │ …
///     teacher     teach 1      │ teach 2            │ teach 3            │ …
///
/// Announcing a batch before training the previous one keeps the teacher busy meanwhile. Receives for the next two
/// requests are posted in advance, so that answers arrive without a wait.
package final class DedicatedTeacher: Teacher, TeacherAhead {
  /// Its name in messages.
  package let name: String
  package let classCount: Int
  package let parameterCount: Int
  package private(set) var computedFLOPs = 0.0
  private let asker: SignalAsker
  private let directory: TeacherDirectory
  private let roles: TeachingRoles
  private let communicator: any Communicator
  private var queue: [(samples: [Int], split: Split, answer: SignalAsker.Answer?)] = []
  private var sending: [PendingOperation] = []
  private var counts = TeacherTraffic()
  /// The most answers in flight.
  private static let answersAhead = 2

  /// - Parameters:
  ///   - whole: the whole model, whose weights are not read.
  ///   - head: the teacher's head, for the payload `hidden`.
  ///   - communicator: all student and teacher ranks.
  /// Collective, with `TeacherService.init` on the teacher ranks.
  package init(
    name: String, whole: any StagedModel, head: TeacherHead?, payload: SignalPayload, precision: Precision,
    train: any ExampleSource, validation: any ExampleSource, roles: TeachingRoles, on communicator: any Communicator
  ) throws {
    self.name = name
    classCount = whole.classCount
    parameterCount = whole.parameterCount
    self.roles = roles
    self.communicator = communicator
    let bounds = try communicator.broadcast([Int](), root: roles.students)
    directory = TeacherDirectory(bounds: bounds, payload)
    let forms = SignalForms(payload, hidden: whole.hiddenSize, precision: precision)
    asker = SignalAsker(forms, classes: directory.classes, head: head, whole, train: train, validation: validation)
  }

  package var isCollective: Bool { true }
  /// nil, since its inner values are on other ranks; but vectors are outputs.
  package var shape: ModelShape? { asker.shapeOfOutputs }
  package var ahead: (any TeacherAhead)? { self }
  package var keeper: (any SignalKeeper)? { nil }
  package func takeRemark() -> String? { nil }

  package func announce(_ requests: [[Int]], in split: Split) throws {
    let body = requests.map(\.count) + requests.joined()
    try say([TeachingRoles.Message.request, split == .train ? 0 : 1, requests.count, body.count], body)
    queue += requests.map { ($0, split, nil) }
    try makeRoom()
  }

  package func signals(for samples: [Int], in split: Split, needs: SignalNeeds) throws -> TeacherSignals {
    precondition(!needs.areInner, "values inside a teacher on other ranks")
    if queue.isEmpty { try announce([samples], in: split) }
    let next = queue.removeFirst()
    precondition(next.samples == samples && next.split == split, "the requested signals were not announced")
    computedFLOPs += asker.arithmetic(of: samples, in: split)
    return TeacherSignals(try asker.targets(of: received(next)))
  }

  package func forget() throws {
    // The teacher answers every request, so the answers have to be received.
    while !queue.isEmpty { _ = try received(queue.removeFirst()) }
  }

  /// Receives announced answers that were not requested, and ends the teacher; collective over the students.
  ///
  /// - Returns: the traffic of the teacher ranks.
  package func end() throws -> TeacherTraffic {
    try forget()
    try say([TeachingRoles.Message.end, 0, 0, 0], [])
    try sending.waitAll()
    sending = []
    return try TeacherTraffic(
      communicator.broadcast([Double](repeating: 0, count: TeacherTraffic.figures), root: roles.students))
  }

  /// The cost of its signals on this rank.
  package var traffic: TeacherTraffic { counts }

  private func received(_ request: (samples: [Int], split: Split, answer: SignalAsker.Answer?)) throws
    -> SignalAsker.Answer
  {
    let answer = try request.answer ?? expect(request.samples, in: request.split)
    let clock = ContinuousClock()
    let start = clock.now
    try answer.wait()
    counts.waitedSeconds += (clock.now - start).seconds
    counts.rows += answer.rows
    try makeRoom()
    return answer
  }

  private func makeRoom() throws {
    for place in queue.indices.prefix(DedicatedTeacher.answersAhead) where queue[place].answer == nil {
      queue[place].answer = try expect(queue[place].samples, in: queue[place].split)
    }
    sending = try sending.filter { try !$0.test() }
  }

  private func expect(_ samples: [Int], in split: Split) throws -> SignalAsker.Answer {
    // Without examples there is no message.
    let producers = samples.isEmpty ? [] : directory.producers(for: communicator.rank)
    return try asker.receive(samples, in: split, from: producers, at: { roles.students + $0 }, on: communicator)
  }

  /// Sends to the first teacher rank, which broadcasts to the others.
  private func say(_ head: [Int], _ body: [Int]) throws {
    for (words, tag) in [(head, TeachingRoles.Message.head), (body, TeachingRoles.Message.body)] where !words.isEmpty {
      let kept = KeptWords(words)
      sending.append(
        try communicator.iSend(UnsafeBufferPointer(kept.words), to: roles.students, tag: tag, keeping: kept))
    }
  }
}

/// The words of a message, kept alive until it is sent.
private final class KeptWords {
  let words: UnsafeMutableBufferPointer<Int>

  init(_ values: [Int]) {
    words = .allocate(capacity: values.count)
    _ = words.initialize(from: values)
  }

  deinit { words.deallocate() }
}

/// Which ranks of a teacher have which part of its signals.
struct TeacherDirectory {
  /// The head's classes on each rank; empty for a rank without a head.
  let classes: [Range<Int>]
  private let payload: SignalPayload

  init(_ classes: [Range<Int>], _ payload: SignalPayload) {
    self.classes = classes
    self.payload = payload
  }

  init(bounds: [Int], _ payload: SignalPayload) {
    self.init(stride(from: 0, to: bounds.count, by: 2).map { bounds[$0]..<bounds[$0 + 1] }, payload)
  }

  var bounds: [Int] { classes.flatMap { [$0.lowerBound, $0.upperBound] } }

  /// The ranks whose messages form an answer; `asker`, the requesting rank, selects one of several equal ranks.
  func producers(for asker: Int) -> [Int] {
    let heads = classes.indices.filter { !classes[$0].isEmpty }
    // States, and the logits of a head that is whole on each shard, are the same on all ranks that have them.
    let areAlike = payload == .hidden || heads.allSatisfy { classes[$0] == classes[heads[0]] }
    return areAlike ? [heads[asker % heads.count]] : heads
  }
}
