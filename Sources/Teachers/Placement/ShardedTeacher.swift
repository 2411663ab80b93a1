import Autograd
import Collectives
import Datasets
import Models
import Objectives
import Platform
import Tensors

/// A teacher in parts on the ranks of a group, which also train.
///
/// The ranks of a group run their passes over the examples of all of them, and each receives the rows of its own. So
/// all of them call `signals` equally often, even without examples.
package final class ShardedTeacher: Teacher {
  /// Its name in messages.
  package let name: String
  package let classCount: Int
  package let parameterCount: Int
  package private(set) var computedFLOPs = 0.0
  private let group: TeacherGroup
  private let asker: SignalAsker
  private var counts = TeacherTraffic()

  /// - Parameters:
  ///   - whole: the whole model, whose weights are not read.
  ///   - part: this rank's part of it, with its weights.
  ///   - head: the teacher's head, for the payload `hidden`.
  ///   - residency: loads and releases the weights of blocks, for a streamed teacher.
  ///   - communicator: the ranks of the group, in the order of the teacher's parts.
  /// Collective.
  package init(
    name: String, whole: any Model, part: any StagedModel, head: TeacherHead?, sharding: TeacherSharding,
    payload: SignalPayload, precision: Precision, train: any ExampleSource, validation: any ExampleSource,
    residency: (any TapeObserver)? = nil, on communicator: any Communicator
  ) throws {
    self.name = name
    classCount = whole.classCount
    parameterCount = whole.parameterCount
    group = try TeacherGroup(
      part, sharding, payload, precision: precision, train: train, validation: validation, residency: residency,
      on: communicator)
    let forms = SignalForms(payload, hidden: part.hiddenSize, precision: precision)
    asker = SignalAsker(
      forms, classes: group.directory.classes, head: head, whole, train: train, validation: validation)
  }

  /// true if the group has several ranks.
  package var isCollective: Bool { group.communicator.size > 1 }

  /// nil, since its inner values are on several ranks, or are released layer by layer; but vectors are outputs.
  package var shape: ModelShape? { asker.shapeOfOutputs }
  package var ahead: (any TeacherAhead)? { nil }
  package var keeper: (any SignalKeeper)? { nil }
  package func takeRemark() -> String? { nil }

  package func signals(for samples: [Int], in split: Split, needs: SignalNeeds) throws -> TeacherSignals {
    precondition(!needs.areInner, "values inside a teacher on several ranks")
    let communicator = group.communicator
    let rank = communicator.rank
    let requests = try communicator.allGather(samples)
    computedFLOPs += asker.arithmetic(of: samples, in: split)
    let producers = samples.isEmpty ? [] : group.directory.producers(for: rank).filter { $0 != rank }
    let answer = try asker.receive(samples, in: split, from: producers, at: { $0 }, on: communicator)
    var sending: [PendingOperation] = []
    try group.answer(requests, in: split) { request, message in
      guard group.directory.producers(for: request).contains(rank) else { return }
      if request == rank {
        answer.messages[rank] = message
      } else {
        counts.sentBytes += 4 * message.count
        sending.append(try SignalAsker.send(message, to: request, on: communicator))
      }
    }
    let clock = ContinuousClock()
    let start = clock.now
    try answer.wait()
    try sending.waitAll()
    counts.waitedSeconds += (clock.now - start).seconds
    counts.rows += answer.rows
    return TeacherSignals(asker.targets(of: answer))
  }

  /// The cost of its signals on this rank.
  package var traffic: TeacherTraffic {
    var result = counts
    result.waitedSeconds += group.waited
    result.innerBytes = group.sentBytes
    return result
  }
}
