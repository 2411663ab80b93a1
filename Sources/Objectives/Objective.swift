import Autograd
import CKernels
import Datasets
import Layers
import Models
import Platform
import Tensors

/// One kind of distillation objective: a term of the loss with its name, its options and the values that it reads of
/// both models.
///
/// Each kind has its own file. `ObjectiveRegistry` lists all kinds for the chain file decoder, the refusals, the table
/// of docs/objectives.md, the plan and the log.
package protocol Objective: Sendable {
  /// The kind's name in a chain file.
  static var kind: String { get }
  /// The term of one row, token or attention entry, as a one-line formula.
  static var formula: String { get }
  /// The paper that introduced the objective.
  static var source: String { get }
  /// The keys of the kind besides `kind`, `name`, `weight` and `teacher`.
  static var options: [ObjectiveOption] { get }
  /// Creates the objective from complete options, each of which is in its range.
  init(_ options: ObjectiveOptions)
  /// Why these options together make no objective; nil if they do.
  static func refusal(_ options: ObjectiveOptions) -> ObjectiveRefusal?
}

extension Objective {
  /// Nil: every combination does.
  package static func refusal(_ options: ObjectiveOptions) -> ObjectiveRefusal? { nil }
}

/// An objective on the logits of a batch's rows, available from every teacher in every placement.
package protocol LogitsObjective: Objective {
  /// Whether the objective reads a teacher and not the targets of the data.
  static var readsTeacher: Bool { get }
  /// The meanings of outputs for which the objective is defined.
  static var outputs: Set<TaskDefinition.Output> { get }
  /// Whether the k largest logits and one bucket for all others are enough to compute it.
  static var allowsTopK: Bool { get }
  /// Whether it reads logits only through a softmax, so that a constant added to a row changes nothing.
  static var comparesProbabilities: Bool { get }
  /// Whether teacher and student may have different classes.
  static var allowsOtherClasses: Bool { get }
  /// Whether it applies only to classifiers, and reads the label of every row.
  static var needsLabels: Bool { get }
  /// The temperature over the optimizer steps; 1 for an objective without a temperature.
  var temperature: Scheduled { get }
  /// What is computed of a row.
  var comparison: RowComparisonKind { get }
}

/// What an objective on logits computes of a row.
package enum RowComparisonKind: Sendable, Equatable {
  /// A comparison with a teacher's outputs.
  case teacher(RowLoss)
  /// A comparison with the targets of the data.
  case targets(TargetLoss)
}

extension LogitsObjective {
  package static var readsTeacher: Bool { true }
  package static var outputs: Set<TaskDefinition.Output> { [.classes] }
  package static var allowsTopK: Bool { false }
  package static var comparesProbabilities: Bool { true }
  package static var allowsOtherClasses: Bool { false }
  package static var needsLabels: Bool { false }
}

/// An objective of the form Σ over classes of φ(log q, log p): see `RowLoss.divergence`.
protocol Divergence: LogitsObjective {
  /// φ and its derivative in the kernels.
  static var kernel: rtk_divergence_kind { get }
  /// The power of T in the factor of the sum.
  static var power: Int { get }
  /// The formula's parameter, such as β or λ.
  var parameter: Double { get }
}

extension Divergence {
  package static var allowsTopK: Bool { true }
  static var power: Int { 2 }
  var parameter: Double { 0 }
  package var comparison: RowComparisonKind {
    .teacher(.divergence(Self.kernel, parameter: parameter, power: Self.power))
  }
}

/// The reason why an objective cannot be computed for two models, reported at its place in the chain file.
package struct ObjectiveRefusal: Error {
  /// The option at fault; nil for the objective itself.
  package let key: String?
  /// The problem.
  package let what: String
  /// The fix.
  package let remedy: String
}

/// An objective on values inside the model, from a teacher on this rank's node.
package protocol InnerObjective: Objective {
  /// The layer pairs to compare.
  ///
  /// Throws `ObjectiveRefusal` for layers that a model does not have, and for sizes that cannot be compared.
  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair]
  /// The point of both models that the objective reads for a layer.
  func point(of layer: Int) -> PassPoint
  /// How much is read at each point.
  static var reading: Reading { get }
  /// Whether it compares token by token, so that both models must read the same tokens.
  static var comparesTokens: Bool { get }
  /// Whether it compares the examples of the global batch with each other, so that a pass needs the vectors of all.
  static var comparesBatch: Bool { get }
  /// Whether it reads the pooled outputs of both models.
  var readsPooled: Bool { get }
  /// Whether the term is the mean over pairs instead of their sum.
  var averagesLayers: Bool { get }
  /// How the student's width is projected to the teacher's; nil for objectives that allow different widths.
  var projection: ProjectionRule? { get }
  /// The number of elements over which one pair's mean is taken, in the global batch.
  func denominator(_ counts: StepCounts, student: ModelShape) -> Double
  /// factor · Σ of one pair's term in a pass, on the tape, and the sum without the factor.
  ///
  /// - Parameters:
  ///   - x: the student's value at the pair's point, projected if the term has a projection.
  ///   - target: the teacher's value.
  func loss(_ x: Variable, _ target: Tensor, _ pass: InnerPass, factor: Double, on tape: Tape) -> LossTerm
}

extension InnerObjective {
  package static var reading: Reading { .allTokens }
  package static var comparesTokens: Bool { true }
  package static var comparesBatch: Bool { false }
  package var readsPooled: Bool { false }
  package var projection: ProjectionRule? { nil }
}

/// The rule for a trained linear layer x ↦ P·x + b that projects a student's width to the teacher's.
package struct ProjectionRule: Sendable, Equatable {
  /// When to project.
  package enum Use: String, Sendable {
    /// If the widths differ.
    case auto
    case always
    /// Never: the widths must be equal.
    case none
  }

  /// When to project.
  package let use: Use
  /// Whether all pairs share one projection.
  package let isShared: Bool

  init(_ options: ObjectiveOptions) {
    use = Use(rawValue: options.word("projection")) ?? .auto
    isShared = options.flag("shared")
  }
}

/// The parts of a pass that an inner term needs besides the two values.
package struct InnerPass: Sendable {
  /// The start of each sequence, then T, [B+1].
  package let offsets: [Int32]
  package let student: ModelShape
  package let teacher: ModelShape
  /// The layers that are compared.
  package let pair: LayerPair
  /// The vectors of the global batch, for an objective that compares its examples with each other; nil if this pass is
  /// the whole batch.
  package let whole: BatchVectors?
}

/// The sizes of an optimizer step's global batch, over all ranks, passes and micro-batches.
package struct StepCounts: Sendable, Equatable {
  /// Rows of the loss: examples, or predicted tokens.
  package var rows: Int
  /// Rows with a target of the data; every predicted token has one.
  package var labelled: Int
  /// Sequences.
  package var sequences: Int
  /// Tokens.
  package var tokens: Int
  /// Σ over sequences of the query-key pairs that attention allows.
  package var pairs: Int

  /// Counts sequences with these lengths.
  ///
  /// - Parameter isCausal: whether a query attends only to keys up to its own position.
  package init(rows: Int, labelled: Int, lengths: [Int], isCausal: Bool) {
    self.rows = rows
    self.labelled = labelled
    sequences = lengths.count
    tokens = lengths.reduce(0, +)
    pairs = lengths.reduce(0) { $0 + (isCausal ? $1 * ($1 + 1) / 2 : $1 * $1) }
  }
}
