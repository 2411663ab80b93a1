import Collectives
import Datasets
import Models
import Platform
import Tensors

/// A dedicated teacher rank: answers the announced requests of the student ranks, in order, until they end it.
package final class TeacherService {
  private let group: TeacherGroup
  private let roles: TeachingRoles
  private let link: any Communicator
  /// Messages in flight, by rounds, the oldest first.
  private var sending: [[PendingOperation]] = []
  private var counts = TeacherTraffic()
  /// The most rounds of answers in flight while the next one is computed.
  private static let ahead = 2

  /// - Parameters:
  ///   - part: this rank's part of the teacher, with its weights.
  ///   - link: all student and teacher ranks.
  ///   - communicator: the teacher ranks, in the order of the teacher's parts.
  /// Collective, with `DedicatedTeacher.init` on the ranks that train.
  package init(
    _ part: any StagedModel, _ sharding: TeacherSharding, payload: SignalPayload, precision: Precision,
    train: any ExampleSource, validation: any ExampleSource, roles: TeachingRoles, link: any Communicator,
    on communicator: any Communicator
  ) throws {
    self.roles = roles
    self.link = link
    group = try TeacherGroup(
      part, sharding, payload, precision: precision, train: train, validation: validation, on: communicator)
    _ = try link.broadcast(group.directory.bounds, root: roles.students)
    group.poll { [unowned self] in for round in sending { _ = try round.testAll() } }
  }

  /// Answers requests until all students have ended; collective over the teacher ranks.
  package func serve() throws {
    while let (requests, split) = try nextRequests() {
      let rounds = requests.map(\.count).max() ?? 0
      for round in 0..<rounds {
        try answer(requests.map { round < $0.count ? $0[round] : [] }, in: split)
      }
    }
    try timed { try sending.forEach { try $0.waitAll() } }
    counts.waitedSeconds += group.waited
    counts.innerBytes = group.sentBytes
    let sums = try group.communicator.allReduce(counts.values, .sum)
    _ = try link.broadcast(sums, root: roles.students)
  }

  private func answer(_ requests: [[Int]], in split: Split) throws {
    if sending.count >= TeacherService.ahead {
      let oldest = sending.removeFirst()
      try timed { try oldest.waitAll() }
    }
    var round: [PendingOperation] = []
    try group.answer(requests, in: split) { student, message in
      guard group.directory.producers(for: student).contains(group.communicator.rank) else { return }
      counts.sentBytes += 4 * message.count
      round.append(try SignalAsker.send(message, to: student, on: link))
    }
    sending.append(round)
  }

  /// The next requests of each student, the same on all teacher ranks; nil at the end.
  private func nextRequests() throws -> (requests: [[[Int]]], split: Split)? {
    let communicator = group.communicator
    // The kind and split, then the request of each student.
    var words: [Int] = []
    if communicator.isFirst {
      for student in 0..<roles.students {
        let (head, body) = try timed { try hear(student) }
        if words.isEmpty { words = Array(head.prefix(2)) }
        guard words[0] == head[0], words[1] == head[1] else {
          throw RetortError(.unexpected, "the request of student \(student) differs in kind from that of student 0")
        }
        words += [head[2]] + body
      }
    }
    words = try timed { try communicator.broadcast(words) }
    guard words[0] == TeachingRoles.Message.request else { return nil }
    var place = 2
    func take() -> Int {
      defer { place += 1 }
      return words[place]
    }
    let requests = (0..<roles.students).map { _ -> [[Int]] in
      let lengths = (0..<take()).map { _ in take() }
      return lengths.map { length in (0..<length).map { _ in take() } }
    }
    return (requests, words[1] == 0 ? .train : .validation)
  }

  private func hear(_ student: Int) throws -> (head: [Int], body: [Int]) {
    let head = try link.receive(Int.self, count: 4, from: student, tag: TeachingRoles.Message.head)
    let body =
      head[3] == 0
      ? [] : try link.receive(Int.self, count: head[3], from: student, tag: TeachingRoles.Message.body)
    return (head, body)
  }

  private func timed<T>(_ body: () throws -> T) rethrows -> T {
    let clock = ContinuousClock()
    let start = clock.now
    defer { counts.waitedSeconds += (clock.now - start).seconds }
    return try body()
  }
}
