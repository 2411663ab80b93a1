import Autograd
import Datasets
import Layers
import Models
import Objectives
import Tensors

/// A frozen model whose outputs a student learns to match.
///
/// A teacher returns plain tensors for examples, which are addressed by their index in the training or validation data.
/// Students use every kind of teacher alike, however it computes and transfers its signals.
package protocol Teacher: AnyObject {
  /// The name in messages.
  var name: String { get }
  /// Classes of its logits; for a language model the vocabulary size.
  var classCount: Int { get }
  /// The number of weights, for the ratio to the student's.
  var parameterCount: Int { get }
  /// The model's sizes; nil for a model without layers, or one whose inner values do not reach this rank.
  var shape: ModelShape? { get }
  /// The signals for examples of a split, in the order of `samples`; each rank passes its own. Logits have one row per
  /// example, or for a language model per predicted token of the batch.
  ///
  /// - Parameter needs: the values to read; points inside the model only for a teacher with a `shape`.
  func signals(for samples: [Int], in split: Split, needs: SignalNeeds) throws -> TeacherSignals
  /// Whether its ranks take part in each other's calls: then all training ranks call `signals` equally often, if
  /// necessary without examples.
  var isCollective: Bool { get }
  /// FLOPs that this rank has computed for signals so far, counted as in `Model.forwardFLOPs`.
  var computedFLOPs: Double { get }
  /// A remark for the user about its weights or signals, returned once; usually nil.
  func takeRemark() -> String?
  /// The teacher as one that computes ahead of requests; nil for one that computes on request.
  var ahead: (any TeacherAhead)? { get }
  /// The teacher as one that caches its signals; nil for one that computes every signal.
  var keeper: (any SignalKeeper)? { get }
}

extension Teacher {
  /// The logits for examples of a split: see `signals(for:in:needs:)`.
  package func logits(for samples: [Int], in split: Split) throws -> TeacherLogits {
    guard let logits = try signals(for: samples, in: split, needs: .logitsOnly).logits else {
      preconditionFailure("the teacher \(name) gave no logits")
    }
    return logits
  }
}

/// A teacher that computes signals before its students request them.
package protocol TeacherAhead: AnyObject {
  /// Announces the next calls of `signals` in order, after those announced earlier; called by all ranks or by none,
  /// with equally many requests.
  func announce(_ requests: [[Int]], in split: Split) throws
  /// Discards the announced signals that were not requested; called by all ranks or by none.
  func forget() throws
}

/// A teacher that caches its signals for later epochs, other ranks and other runs.
package protocol SignalKeeper: AnyObject {
  /// Makes the signals computed on this rank readable for other ranks and runs.
  func publishSignals()
  /// Loads the signals that other ranks and runs have published.
  func collectSignals()
  /// What it has read, computed and written since its creation.
  var statistics: CachedTeacher.Statistics { get }
}

/// The two parts of a dataset that a chain uses.
package enum Split: String, Sendable {
  case train
  case validation
}

/// A teacher whose whole model is in this rank's memory, or in memory shared by the ranks of its node.
///
/// The weights are loaded at the first request for signals, so a fully cached teacher never loads them. It tokenizes
/// the examples with its own tokenizer, and an example of a classifier gets the same bits in every batch, so cached
/// signals equal recomputed ones. Its parameters have no gradient buffers and its passes are not recorded, so it cannot
/// be trained. The end of the step releases it.
package final class ResidentTeacher: Teacher {
  /// The name in messages: the chain file's reference.
  package let name: String
  private let model: any Model
  private let precision: Precision
  /// The bounds of the teacher's inputs; labels are not checked.
  private let bounds: Batch.Bounds
  private let weights = BF16Weights()
  /// Loads the weights; nil after loading.
  private var load: (() throws -> String?)?
  private var remark: String?
  private let train: any ExampleSource
  private let validation: any ExampleSource
  package private(set) var computedFLOPs = 0.0

  /// Creates a teacher from a model in memory.
  ///
  /// - Parameters:
  ///   - model: frozen by this call and used only by the teacher; in bf16 its matrices are kept only in that format.
  ///   - train: the training examples in the teacher's tokens, in the student's order.
  ///   - validation: the validation examples, likewise.
  ///   - precision: the precision of matrix products.
  package convenience init(
    name: String, model: any Model, train: any ExampleSource, validation: any ExampleSource,
    precision: Precision = .fp32
  ) {
    self.init(name, model, train, validation, precision)
    model.freeze(for: precision)
  }

  /// Creates a teacher that loads its weights at the first request.
  ///
  /// - Parameters:
  ///   - frozen: a model built for passes in this precision.
  ///   - load: fills the model; returns a remark for the user, or nil.
  package convenience init(
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
    precondition(model.parameters.allSatisfy { !$0.isTrained }, "a teacher's weights are not trained")
    self.name = name
    self.model = model
    bounds = model.bounds.ofInputs
    self.precision = precision
    self.train = train
    self.validation = validation
  }

  package var classCount: Int { model.classCount }
  package var parameterCount: Int { model.parameterCount }
  package var shape: ModelShape? { (model as? any StagedModel)?.shape }
  package var isCollective: Bool { false }
  package var ahead: (any TeacherAhead)? { nil }
  package var keeper: (any SignalKeeper)? { nil }

  package func signals(for samples: [Int], in split: Split, needs: SignalNeeds) throws -> TeacherSignals {
    if let load {
      remark = try load()
      self.load = nil
    }
    let source = split == .train ? train : validation
    let batch = source.batch(samples)
    try batch.requireWithin(bounds)
    computedFLOPs += model.forwardFLOPs(lengths: batch.lengths)
    let observer = needs.areInner ? RecordingObserver(needs.points) : nil
    // Signals that are never cached need not be independent of the batch, so that products can be faster.
    let context = ForwardContext.inference(
      precision: precision, weights: weights, observer: observer,
      independentRows: source.kind.definition.keepsSignals)
    let logits = logits(batch, context)
    return TeacherSignals(
      needs.logits ? logits : nil, values: observer.map { values($0, needs, batch, context.tape) } ?? [:])
  }

  /// The logits of a classifier; for a language model the states of the predicting tokens, and the head that turns them
  /// into logits.
  private func logits(_ batch: Batch, _ context: ForwardContext) -> TeacherLogits {
    guard let model = model as? any LanguageModel else { return .logits(model.forward(batch, context).value) }
    let states = model.states(batch, context)
    return .hidden(
      context.tape.selectRows(states, batch.countedTokens).value, head: context.tape.operand(of: model.head))
  }

  /// The observed values, reduced to first tokens at points where only these are read.
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

  package func takeRemark() -> String? {
    defer { remark = nil }
    return remark
  }
}
