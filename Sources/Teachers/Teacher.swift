import Autograd
import Datasets
import Models
import Objectives
import Tensors

/// Something that knows what a student should answer.
///
/// A teacher gives plain tensors for examples, addressed by their index in the training or validation data. How the
/// signal is made and moved is its own business: a student cannot tell a resident teacher from any other.
public protocol Teacher: AnyObject {
  /// How it is called in messages.
  var name: String { get }
  /// Classes of its logits.
  var classCount: Int { get }
  /// Weights, for the ratio to the student's.
  var parameterCount: Int { get }
  /// The signals for some examples of a split, in the order of `samples`; the examples differ from rank to rank.
  func signals(for samples: [Int], in split: Split) throws -> TeacherSignals
  /// Useful arithmetic that this rank has done for signals so far, as `Model.forwardFLOPs` counts it.
  var computedFLOPs: Double { get }
  /// Makes signals that were computed here readable for other ranks and runs, where they are kept at all.
  func publishSignals()
  /// Takes up what others have published.
  func collectSignals()
  /// What the user should know of how signals are kept, once; nil mostly.
  func takeRemark() -> String?
}

extension Teacher {
  /// 0: somebody else does the arithmetic.
  public var computedFLOPs: Double { 0 }
  /// Nothing: signals are not kept.
  public func publishSignals() {}
  /// Nothing: signals are not kept.
  public func collectSignals() {}
  /// Nothing to say.
  public func takeRemark() -> String? { nil }
}

/// The two parts of a data set that a chain uses.
public enum Split: String, Sendable {
  case train
  case validation
}

/// A teacher whose whole model is in this rank's memory.
///
/// It reads the examples as its own tokenizer cuts them, and says the same of an example in every batch, to the last
/// bit: what is remembered of it is what it would say again. Its parameters have no gradient buffers and its passes are
/// not recorded, so it cannot be trained; it goes from memory when its last holder, the step, lets go of it.
public final class ResidentTeacher: Teacher {
  /// What messages call it: the chain file's reference.
  public let name: String
  private let model: any Model
  private let precision: Precision
  private let weights = BF16Weights(replacingFrozenWeights: true)
  private let train: any ExampleSource
  private let validation: any ExampleSource
  public private(set) var computedFLOPs = 0.0

  /// - Parameters:
  ///   - model: frozen from here on, and the teacher's alone: in bf16 its matrices are kept in that format only.
  ///   - train: the training examples in the teacher's own tokens, in the order of the student's.
  ///   - validation: likewise.
  ///   - precision: of its matrix multiplies.
  public init(
    name: String, model: any Model, train: any ExampleSource, validation: any ExampleSource,
    precision: Precision = .fp32
  ) {
    precondition(model.parameters.allSatisfy { $0.gradient == nil }, "a teacher's weights are not trained")
    self.name = name
    self.model = model
    self.precision = precision
    self.train = train
    self.validation = validation
    // A first pass rounds the matrices, so that the float32 ones are gone before the student's memory is asked for.
    if precision == .bf16, train.count > 0 { _ = signals(for: [0], in: .train) }
  }

  public var classCount: Int { model.classCount }
  public var parameterCount: Int { model.parameterCount }

  public func signals(for samples: [Int], in split: Split) -> TeacherSignals {
    let batch = (split == .train ? train : validation).batch(samples)
    computedFLOPs += model.forwardFLOPs(lengths: batch.lengths)
    let logits = model.logits(batch, precision: precision, weights: weights, independentRows: true)
    return TeacherSignals(logits: logits)
  }
}
