import Autograd
import Datasets
import Layers
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
  /// Classes of its logits; of a language model its vocabulary.
  var classCount: Int { get }
  /// Weights, for the ratio to the student's.
  var parameterCount: Int { get }
  /// The signals for some examples of a split, in the order of `samples`, which differ from rank to rank: a row for
  /// each example, of a language model for each predicted token of their batch.
  func signals(for samples: [Int], in split: Split) throws -> TeacherSignals
  /// Whether its ranks answer each other's calls: all ranks that train then call `signals` equally often, if need be
  /// for no examples.
  var isCollective: Bool { get }
  /// Whether it works ahead where it is told what it will be asked.
  var wantsAnnouncements: Bool { get }
  /// Tells the teacher the next calls of `signals`, in their order, behind those that it was told of before; by all
  /// ranks or by none, with equally many calls.
  func announce(_ requests: [[Int]], in split: Split) throws
  /// What signals have cost this rank; nil for a teacher that is not spread over ranks.
  var traffic: TeacherTraffic? { get }
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
  /// No: each rank asks for itself.
  public var isCollective: Bool { false }
  /// No: it answers when it is asked.
  public var wantsAnnouncements: Bool { false }
  /// Nothing.
  public func announce(_ requests: [[Int]], in split: Split) throws {}
  /// nil.
  public var traffic: TeacherTraffic? { nil }
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

/// A teacher whose whole model is in this rank's memory, or in memory that the ranks of its node share.
///
/// Its weights come when it is first asked for a signal: one whose signals are all kept needs none. It reads the
/// examples as its own tokenizer cuts them, and says the same of an example in every batch, to the last bit: what is
/// remembered of it is what it would say again. Its parameters have no gradient buffers and its passes are not
/// recorded, so it cannot be trained; it goes from memory when its last holder, the step, lets go of it.
public final class ResidentTeacher: Teacher {
  /// What messages call it: the chain file's reference.
  public let name: String
  private let model: any Model
  private let precision: Precision
  /// Of what the teacher reads; it looks at no class.
  private let bounds: Batch.Bounds
  private let weights = BF16Weights()
  /// Brings the weights; nil once they are there.
  private var load: (() throws -> String?)?
  private var remark: String?
  private let train: any ExampleSource
  private let validation: any ExampleSource
  public private(set) var computedFLOPs = 0.0

  /// A teacher of a model that is in memory.
  ///
  /// - Parameters:
  ///   - model: frozen from here on, and the teacher's alone: in bf16 its matrices are kept in that format only.
  ///   - train: the training examples in the teacher's own tokens, in the order of the student's.
  ///   - validation: likewise.
  ///   - precision: of its matrix multiplies.
  public convenience init(
    name: String, model: any Model, train: any ExampleSource, validation: any ExampleSource,
    precision: Precision = .fp32
  ) {
    self.init(name, model, train, validation, precision)
    model.freeze(for: precision)
  }

  /// A teacher whose weights are brought when they are first needed.
  ///
  /// - Parameters:
  ///   - frozen: made for passes of this precision.
  ///   - load: fills it; returns what the user should know of that, or nil.
  public convenience init(
    name: String, frozen: FrozenModel, train: any ExampleSource, validation: any ExampleSource, precision: Precision,
    load: @escaping (FrozenModel) throws -> String?
  ) {
    self.init(name, frozen.model, train, validation, precision)
    self.load = { try load(frozen) }
  }

  private init(
    _ name: String, _ model: any Model, _ train: any ExampleSource, _ validation: any ExampleSource,
    _ precision: Precision
  ) {
    precondition(model.parameters.allSatisfy { $0.gradient == nil }, "a teacher's weights are not trained")
    self.name = name
    self.model = model
    bounds = model.bounds.ofInputs
    self.precision = precision
    self.train = train
    self.validation = validation
  }

  public var classCount: Int { model.classCount }
  public var parameterCount: Int { model.parameterCount }

  public func signals(for samples: [Int], in split: Split) throws -> TeacherSignals {
    if let load {
      remark = try load()
      self.load = nil
    }
    let batch = (split == .train ? train : validation).batch(samples)
    try batch.requireWithin(bounds)
    computedFLOPs += model.forwardFLOPs(lengths: batch.lengths)
    if let model = model as? any LanguageModel { return signals(of: model, for: batch) }
    let logits = model.logits(batch, precision: precision, independentRows: true)
    return .logits(logits)
  }

  /// The states of the tokens that predict one, and the head that makes logits of them. Nothing is kept of them, so the
  /// products may be the fastest.
  private func signals(of model: any LanguageModel, for batch: Batch) -> TeacherSignals {
    let context = ForwardContext.inference(precision: precision, weights: weights)
    let states = model.states(batch, context)
    return .hidden(
      context.tape.selectRows(states, batch.predictedRows).value, head: context.tape.operand(of: model.head))
  }

  public func takeRemark() -> String? {
    defer { remark = nil }
    return remark
  }
}
