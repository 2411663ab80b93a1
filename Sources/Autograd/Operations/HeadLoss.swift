import Collectives
import Tensors

/// What a head's loss is made of, and of how much of each.
public struct HeadLossTerms: Sendable, Equatable {
  /// The weight of the cross-entropy with the labels.
  public var crossEntropyWeight: Double
  /// The weight of T²·KL(teacher ‖ student).
  public var distillationWeight: Double
  /// T > 0.
  public var temperature: Double

  /// Weights that need not add up to 1, and T > 0.
  public init(crossEntropyWeight: Double, distillationWeight: Double, temperature: Double) {
    self.crossEntropyWeight = crossEntropyWeight
    self.distillationWeight = distillationWeight
    self.temperature = temperature
  }
}

/// A head's loss on the tape and its exact sums, for reporting.
public struct HeadLoss {
  /// (ce·Σ cross-entropy + kd·Σ T²·KL) / denominator, the scalar that backward starts from, and nothing else.
  public let loss: Variable
  /// Σ over rows of the cross-entropy, in double precision.
  public let crossEntropySum: Double
  /// Σ over rows of T²·KL, in double precision; 0 without a teacher.
  public let distillationSum: Double
}

/// The part of a vocabulary that this rank has, of the student's head and of what the teacher says.
///
/// All ranks of the communicator pass the same rows, labels, terms and denominator.
public struct VocabularyShard {
  /// The ranks that have the parts.
  public let communicator: any Communicator
  /// The classes that are here, of all ranks' together; parts may have different sizes, none may be empty.
  public let classes: Range<Int>
  /// V, the classes of all ranks together.
  public let classCount: Int

  /// The classes that this rank has of `classCount`.
  public init(_ classes: Range<Int>, of classCount: Int, on communicator: any Communicator) {
    self.classes = classes
    self.classCount = classCount
    self.communicator = communicator
  }

  /// A rank's share if all were equal, by which all ranks cut the rows alike.
  var typicalCount: Int { (classCount + communicator.size - 1) / communicator.size }
}

extension Tape {
  /// The loss of logits = states·headᵀ, without ever holding all logits: (ce·Σ_r −log softmax(logits_r)[label_r]
  /// + kd·Σ_r T²·KL(softmax(teacher_r/T) ‖ softmax(logits_r/T))) / denominator.
  ///
  /// - Parameters:
  ///   - states: [T, h].
  ///   - rows: which R of the states count, each once; nil for all.
  ///   - head: [V, h]; its gradient, if it has one, is of the shape of the value.
  ///   - labels: R classes; a negative one leaves the cross-entropy of its row out.
  ///   - targets: what a teacher says of the R rows, or nil. Of k classes and one bucket for all others KL is that of
  ///     these k + 1, which is less than the whole and never negative.
  ///   - denominator: the count over all ranks and passes that the step divides by.
  /// The gradients are computed here already, chunk by chunk while the logits are there, since nothing can follow that
  /// would change them: so the result must be what `backward` starts from. A pass that does not record computes the
  /// sums alone. In a pass of precision bf16 states, head and the gradients of logits are rounded once, and logits,
  /// softmax and losses are f32.
  public func headLoss(
    _ states: Variable, rows: [Int32]? = nil, head: Parameter, labels: [Int32], targets: SoftTargets? = nil,
    terms: HeadLossTerms, denominator: Double
  ) -> HeadLoss {
    let work = HeadLossWork(
      self, states, rows: rows, head: head, labels: labels, targets: targets, terms: terms, denominator: denominator)
    work.run(HeadLossChunks.ranges(rows: labels.count, classes: head.value.rows), first: 0) { _ in }
    return work.result()
  }

  /// The same loss of a head that is cut by classes over the ranks of a communicator; collective.
  ///
  /// - Parameters: as above, but
  ///   - head: this rank's rows, [shard.classes.count, h].
  ///   - labels: classes of the whole vocabulary.
  ///   - targets: this rank's columns of the logits, or rows of the teacher's head; of a top-k all of it.
  /// Ranks exchange one maximum and some sums a row, and the gradient of the states, which all of them get. Every rank
  /// returns the whole loss. Throws what the communicator throws.
  public func headLoss(
    _ states: Variable, rows: [Int32]? = nil, head: Parameter, labels: [Int32], targets: SoftTargets? = nil,
    terms: HeadLossTerms, denominator: Double, shard: VocabularyShard
  ) throws -> HeadLoss {
    precondition(
      head.value.rows == shard.classes.count && head.value.rows > 0,
      "a head \(head.shape) for the classes \(shard.classes)")
    let work = HeadLossWork(
      self, states, rows: rows, head: head, labels: labels, targets: targets, terms: terms, denominator: denominator)
    let chunks = HeadLossChunks.ranges(rows: labels.count, classes: shard.typicalCount)
    try work.run(chunks, first: shard.classes.lowerBound) {
      try $0.exchange(on: shard.communicator, temperature: Float(terms.temperature))
    }
    if let gradient = work.stateGradient { try shard.communicator.allReduce(gradient.buffer, .sum) }
    return work.result()
  }
}

/// Hands on the gradient of the states; the head has its own already.
struct HeadLossOperation: Operation {
  let states: VariablePlace
  let gradient: Tensor?
  let head: Parameter

  var parameters: [Parameter] { [head] }

  func backward(_ dy: Tensor, _ gradients: inout Gradients) {
    precondition(dy.scalar == 1, "the loss of a head was multiplied by \(dy.scalar) after its gradients were made")
    if let gradient { gradients.add(gradient, to: states) }
  }
}
