import Autograd
import Datasets
import Layers
import Models
import Objectives
import Tensors

/// A frozen model that says what a student should answer.
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
  /// Its sizes; nil of a model without layers, or one whose inner values do not reach this rank.
  var shape: ModelShape? { get }
  /// The signals for some examples of a split, in the order of `samples`, which differ from rank to rank: logits have a
  /// row for each example, of a language model for each predicted token of their batch.
  ///
  /// - Parameter needs: what of the teacher is read; values inside it only where it has a `shape`.
  func signals(for samples: [Int], in split: Split, needs: SignalNeeds) throws -> TeacherSignals
  /// Whether its ranks answer each other's calls: all ranks that train then call `signals` equally often, if need be
  /// for no examples.
  var isCollective: Bool { get }
  /// Useful arithmetic that this rank has done for signals so far, as `Model.forwardFLOPs` counts it.
  var computedFLOPs: Double { get }
  /// What the user should know of its weights or signals, once; nil mostly.
  func takeRemark() -> String?
  /// The teacher as one that works ahead of its students; nil where it answers when it is asked.
  var ahead: (any TeacherAhead)? { get }
  /// The teacher as one that keeps what it has said; nil where it computes every answer.
  var keeper: (any SignalKeeper)? { get }
}

extension Teacher {
  /// The logits for some examples: see `signals(for:in:needs:)`.
  public func logits(for samples: [Int], in split: Split) throws -> TeacherLogits {
    guard let logits = try signals(for: samples, in: split, needs: .logitsOnly).logits else {
      preconditionFailure("the teacher \(name) gave no logits")
    }
    return logits
  }
}

/// A teacher that computes answers before its students ask for them.
public protocol TeacherAhead: AnyObject {
  /// Tells the teacher the next calls of `signals`, in their order, after those that it was told of before; by all
  /// ranks or by none, with equally many calls.
  func announce(_ requests: [[Int]], in split: Split) throws
}

/// A teacher that remembers its signals, for later epochs, other ranks and other runs.
public protocol SignalKeeper: AnyObject {
  /// Makes signals that were computed here readable for other ranks and runs.
  func publishSignals()
  /// Takes up what others have published.
  func collectSignals()
  /// What it has read, computed and written since it was made.
  var statistics: CachedTeacher.Statistics { get }
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
  public var shape: ModelShape? { (model as? any StagedModel)?.shape }
  public var isCollective: Bool { false }
  public var ahead: (any TeacherAhead)? { nil }
  public var keeper: (any SignalKeeper)? { nil }

  public func signals(for samples: [Int], in split: Split, needs: SignalNeeds) throws -> TeacherSignals {
    if let load {
      remark = try load()
      self.load = nil
    }
    let batch = (split == .train ? train : validation).batch(samples)
    try batch.requireWithin(bounds)
    computedFLOPs += model.forwardFLOPs(lengths: batch.lengths)
    let observer = needs.areInner ? RecordingObserver(needs.points) : nil
    // Nothing is kept of what a language model says, so its products may be the fastest.
    let isLanguageModel = model is any LanguageModel
    let context = ForwardContext.inference(
      precision: precision, weights: weights, observer: observer, independentRows: !isLanguageModel)
    let logits = logits(batch, context)
    return TeacherSignals(
      needs.logits ? logits : nil, values: observer.map { values($0, needs, batch, context.tape) } ?? [:])
  }

  /// The logits of a classifier; of a language model the states of the tokens that predict one, and the head that makes
  /// logits of them.
  private func logits(_ batch: Batch, _ context: ForwardContext) -> TeacherLogits {
    guard let model = model as? any LanguageModel else { return .logits(model.forward(batch, context).value) }
    let states = model.states(batch, context)
    return .hidden(
      context.tape.selectRows(states, batch.predictedRows).value, head: context.tape.operand(of: model.head))
  }

  /// What the observer has recorded, of first tokens alone where no more is read.
  private func values(_ observer: RecordingObserver, _ needs: SignalNeeds, _ batch: Batch, _ tape: Tape)
    -> [PassPoint: Tensor]
  {
    var values: [PassPoint: Tensor] = [:]
    for (point, value) in observer.values {
      let isCut = needs.points[point] == .firstTokens && value.rows > batch.count
      values[point] =
        isCut ? tape.selectRows(Variable(constant: value), Array(batch.offsets.dropLast())).value : value
    }
    return values
  }

  public func takeRemark() -> String? {
    defer { remark = nil }
    return remark
  }
}
