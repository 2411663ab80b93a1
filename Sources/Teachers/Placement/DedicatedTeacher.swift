import Collectives
import Datasets
import Models
import Objectives
import Platform
import Tensors

/// Which ranks train and which only teach.
///
///     rank    0 1 2 … S−1    S … S+N−1
///             train          teach
public struct TeachingRoles: Sendable, Equatable {
  /// S.
  public let students: Int
  /// N.
  public let teachers: Int

  /// The last N of the ranks teach; at least one rank is left to train.
  public init(ranks: Int, teachers: Int) {
    precondition((1..<ranks).contains(teachers), "\(teachers) of \(ranks) ranks teach")
    self.teachers = teachers
    students = ranks - teachers
  }

  /// Whether a rank only teaches.
  public func teaches(_ rank: Int) -> Bool { rank >= students }

  /// What the two sides say to each other.
  enum Message {
    static let head = 21
    static let body = 22
    /// What a head begins with.
    static let request = 1
    static let end = 0
  }
}

/// A teacher on ranks of its own, as the ranks that train see it.
///
///     students    ask 1, ask 2 │ train 1, ask 3 │ train 2, ask 4 │ …
///     teacher     teach 1      │ teach 2        │ teach 3        │ …
///
/// Whoever announces a batch before it trains the one before keeps the teacher busy meanwhile. Room for the answers to
/// two requests is given ahead, so that they come without being waited for.
public final class DedicatedTeacher: Teacher {
  /// What messages call it.
  public let name: String
  public let classCount: Int
  public let parameterCount: Int
  public private(set) var computedFLOPs = 0.0
  private let asker: SignalAsker
  private let directory: TeacherDirectory
  private let roles: TeachingRoles
  private let communicator: any Communicator
  private var queue: [(samples: [Int], split: Split, answer: SignalAsker.Answer?)] = []
  private var sending: [PendingOperation] = []
  private var counts = TeacherTraffic()
  /// Answers that may be on their way.
  private static let ahead = 2

  /// - Parameters:
  ///   - whole: the whole model, whose weights are not looked at.
  ///   - head: what turns states into logits, for the payload `hidden`.
  ///   - communicator: of students and teachers.
  /// Collective, with `TeacherService.init` on the ranks that teach.
  public init(
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

  public var isCollective: Bool { true }
  public var wantsAnnouncements: Bool { true }

  public func announce(_ requests: [[Int]], in split: Split) throws {
    let body = requests.map(\.count) + requests.joined()
    try say([TeachingRoles.Message.request, split == .train ? 0 : 1, requests.count, body.count], body)
    queue += requests.map { ($0, split, nil) }
    try makeRoom()
  }

  public func signals(for samples: [Int], in split: Split) throws -> TeacherSignals {
    if queue.isEmpty { try announce([samples], in: split) }
    let next = queue.removeFirst()
    precondition(next.samples == samples && next.split == split, "a teacher was asked for what was not announced")
    computedFLOPs += asker.arithmetic(of: samples, in: split)
    return try asker.targets(of: received(next))
  }

  /// Takes what was announced and not asked for, and lets the teacher end; collective over the students.
  ///
  /// - Returns: what the ranks that teach have to say of their work.
  public func end() throws -> TeacherTraffic {
    while !queue.isEmpty { _ = try received(queue.removeFirst()) }
    try say([TeachingRoles.Message.end, 0, 0, 0], [])
    try sending.waitAll()
    sending = []
    return try TeacherTraffic(
      communicator.broadcast([Double](repeating: 0, count: TeacherTraffic.figures), root: roles.students))
  }

  public var traffic: TeacherTraffic? { counts }

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
    for place in queue.indices.prefix(DedicatedTeacher.ahead) where queue[place].answer == nil {
      queue[place].answer = try expect(queue[place].samples, in: queue[place].split)
    }
    sending = try sending.filter { try !$0.test() }
  }

  private func expect(_ samples: [Int], in split: Split) throws -> SignalAsker.Answer {
    // For no examples nobody sends anything.
    let producers = samples.isEmpty ? [] : directory.producers(for: communicator.rank)
    return try asker.receive(samples, in: split, from: producers, at: { roles.students + $0 }, on: communicator)
  }

  /// To the first of the ranks that teach, which tells the others.
  private func say(_ head: [Int], _ body: [Int]) throws {
    for (words, tag) in [(head, TeachingRoles.Message.head), (body, TeachingRoles.Message.body)] where !words.isEmpty {
      let kept = KeptWords(words)
      sending.append(
        try communicator.iSend(UnsafeBufferPointer(kept.words), to: roles.students, tag: tag, keeping: kept))
    }
  }
}

/// Words of a message until it has left.
private final class KeptWords {
  let words: UnsafeMutableBufferPointer<Int>

  init(_ values: [Int]) {
    words = .allocate(capacity: values.count)
    _ = words.initialize(from: values)
  }

  deinit { words.deallocate() }
}

/// Which rank of a teacher has what of its answers.
struct TeacherDirectory {
  /// The classes that the head of each rank has; none where it has no head.
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

  /// The ranks whose messages make up an answer; `asker` is the rank that asks, for a choice among equals.
  func producers(for asker: Int) -> [Int] {
    let heads = classes.indices.filter { !classes[$0].isEmpty }
    // States, and the logits of a head that is whole in each slice, are the same on all ranks that have them.
    let areAlike = payload == .hidden || heads.allSatisfy { classes[$0] == classes[heads[0]] }
    return areAlike ? [heads[asker % heads.count]] : heads
  }
}
