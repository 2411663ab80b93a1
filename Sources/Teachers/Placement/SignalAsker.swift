import Collectives
import Datasets
import Models
import Objectives
import Tensors

/// The requesting side: receives the messages of the teacher's ranks and decodes them to soft targets.
final class SignalAsker {
  private static let tag = 12
  private let forms: SignalForms
  private let classes: [Range<Int>]
  private let head: TeacherHead?
  private let whole: any Model
  private let data: (train: any ExampleSource, validation: any ExampleSource)

  /// - Parameter classes: the head's classes on each of the teacher's ranks.
  init(
    _ forms: SignalForms, classes: [Range<Int>], head: TeacherHead?, _ whole: any Model, train: any ExampleSource,
    validation: any ExampleSource
  ) {
    self.forms = forms
    self.classes = classes
    self.head = head
    self.whole = whole
    data = (train, validation)
  }

  /// An answer in flight.
  final class Answer {
    let samples: [Int]
    let split: Split
    let rows: Int
    /// The messages by their sender's index among the teacher's ranks.
    var messages: [Int: Tensor] = [:]
    fileprivate var receiving: [PendingOperation] = []

    fileprivate init(_ samples: [Int], in split: Split, rows: Int) {
      self.samples = samples
      self.split = split
      self.rows = rows
    }

    func wait() throws {
      try receiving.waitAll()
      receiving = []
    }
  }

  private func batch(_ samples: [Int], in split: Split) -> Batch {
    (split == .train ? data.train : data.validation).batch(samples)
  }

  /// The sizes of a teacher whose outputs are its pooled vectors; nil for any other.
  var shapeOfOutputs: ModelShape? { (whole as? any StagedModel)?.shape.ifPooledIsOutput }

  /// The operations of a whole teacher for these examples.
  func arithmetic(of samples: [Int], in split: Split) -> Double {
    samples.isEmpty ? 0 : whole.forwardFLOPs(lengths: batch(samples, in: split).lengths)
  }

  /// Starts to receive the messages of an answer.
  ///
  /// - Parameters:
  ///   - producers: the senders, as indices among the teacher's ranks.
  ///   - rank: maps such an index to a rank of the communicator.
  func receive(
    _ samples: [Int], in split: Split, from producers: [Int], at rank: (Int) -> Int, on communicator: any Communicator
  ) throws -> Answer {
    let batch = batch(samples, in: split)
    let answer = Answer(
      samples, in: split, rows: batch.rowCount)
    for producer in producers {
      let message = Tensor(uninitialized: [answer.rows, forms[split].width(classes: classes[producer])])
      answer.messages[producer] = message
      answer.receiving.append(
        try communicator.iReceive(
          message.buffer, from: rank(producer), tag: SignalAsker.tag, keeping: message.storage))
    }
    return answer
  }

  /// Sends the message of an answer.
  static func send(_ message: Tensor, to rank: Int, on communicator: any Communicator) throws -> PendingOperation {
    try communicator.iSend(UnsafeBufferPointer(message.buffer), to: rank, tag: tag, keeping: message.storage)
  }

  /// The soft targets of a received answer.
  func targets(of answer: Answer) -> TeacherLogits {
    let (form, all) = (forms[answer.split], 0..<whole.classCount)
    let senders = answer.messages.keys.sorted()
    let empty = [(classes: all, message: Tensor.zeros([0, form.width(classes: all)]))]
    let parts = senders.compactMap { sender in
      answer.messages[sender].map { (classes: classes[sender], message: $0) }
    }
    return form.decode(parts.isEmpty ? empty : parts, head: head)
  }
}
