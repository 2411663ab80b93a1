import Autograd
import CKernels
import Layers
import Models
import Platform
import Tensors

/// One kind of distillation objective: a term of the loss with its name, its options and what it reads of both models.
///
/// A kind is one file. `ObjectiveRegistry` lists them all; the decoder of chain files, the refusals, the table of
/// docs/objectives.md, the plan and the log read a kind from there.
public protocol Objective: Sendable {
  /// Its name in a chain file.
  static var kind: String { get }
  /// The term of a row, of a token or of an attention entry, in a line.
  static var formula: String { get }
  /// The paper that it is from.
  static var source: String { get }
  /// The keys that it has besides `kind`, `name`, `weight` and `teacher`.
  static var options: [ObjectiveOption] { get }
  /// The objective with these options, all of them given and in their ranges.
  init(_ options: ObjectiveOptions)
}

/// An objective on the logits of the rows of a batch: from every teacher, in every placement.
public protocol LogitsObjective: Objective {
  /// Whether it reads a teacher; only the cross-entropy does not.
  static var readsTeacher: Bool { get }
  /// Whether it can be computed of the k largest logits and one bucket for all others.
  static var allowsTopK: Bool { get }
  /// Whether teacher and student may have different classes.
  static var allowsOtherClasses: Bool { get }
  /// Whether it is defined for classifiers alone, and reads the label of every row.
  static var needsLabels: Bool { get }
  /// The temperature over the optimizer steps; 1 where it has none.
  var temperature: Scheduled { get }
  /// What it computes of a row; nil for the cross-entropy.
  var rowLoss: RowLoss? { get }
}

extension LogitsObjective {
  public static var readsTeacher: Bool { true }
  public static var allowsTopK: Bool { false }
  public static var allowsOtherClasses: Bool { false }
  public static var needsLabels: Bool { false }
}

/// An objective that is a sum over classes of φ(log q, log p): see `RowLoss.divergence`.
protocol Divergence: LogitsObjective {
  /// φ and its derivative in the kernels.
  static var kernel: rtk_divergence_kind { get }
  /// The power of T that the sum is multiplied with.
  static var power: Int { get }
  /// The formula's own number.
  var parameter: Double { get }
}

extension Divergence {
  public static var allowsTopK: Bool { true }
  static var power: Int { 2 }
  var parameter: Double { 0 }
  public var rowLoss: RowLoss? { .divergence(Self.kernel, parameter: parameter, power: Self.power) }
}

/// What an objective cannot be with two models, for a message at its place in the chain file.
public struct ObjectiveRefusal: Error {
  /// The option that says so; nil: the objective itself.
  public let key: String?
  /// What is wrong.
  public let what: String
  /// What to do.
  public let remedy: String
}

/// An objective on values inside the model: from a teacher on this rank's node.
public protocol InnerObjective: Objective {
  /// The layers that are compared.
  ///
  /// Throws `ObjectiveRefusal` for layers that a model does not have, and for sizes that cannot be compared.
  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair]
  /// What is read of both models for a pair, and how much of it.
  func point(of layer: Int) -> PassPoint
  /// How much is read at each point.
  static var reading: Reading { get }
  /// Whether it compares token by token, so that both models must read the same tokens.
  static var comparesTokens: Bool { get }
  /// Whether the pairs count as a mean and not as a sum.
  var averagesLayers: Bool { get }
  /// How the student's width comes to the teacher's; nil where widths need not be equal.
  var projection: ProjectionRule? { get }
  /// How many numbers the term of one pair is a mean over, in the whole batch.
  func denominator(_ counts: StepCounts, student: ModelShape) -> Double
  /// factor · Σ of the term of one pair in a pass, on the tape, and the sum without the factor.
  ///
  /// - Parameters:
  ///   - x: the student's value at the pair's point, projected where it has to be.
  ///   - target: the teacher's.
  func loss(_ x: Variable, _ target: Tensor, _ pass: InnerPass, factor: Double, on tape: Tape) -> LossTerm
}

extension InnerObjective {
  public static var reading: Reading { .allTokens }
  public static var comparesTokens: Bool { true }
  public var projection: ProjectionRule? { nil }
}

/// When a trained linear layer x ↦ P·x + b brings a student's width to the teacher's.
public struct ProjectionRule: Sendable, Equatable {
  /// When.
  public enum Use: String, Sendable {
    /// Where widths differ.
    case auto
    case always
    /// Never: widths must be equal.
    case none
  }

  /// When there is one.
  public let use: Use
  /// Whether all pairs have the same.
  public let isShared: Bool

  init(_ options: ObjectiveOptions) {
    use = Use(rawValue: options.word("projection")) ?? .auto
    isShared = options.flag("shared")
  }
}

/// What an inner term needs to know of a pass besides the two values.
public struct InnerPass: Sendable {
  /// Where each sequence starts, and T at the end, [B+1].
  public let offsets: [Int32]
  public let student: ModelShape
  public let teacher: ModelShape
}

/// How many of each there are in the global batch of an optimizer step, over all ranks, passes and micro-batches.
public struct StepCounts: Sendable, Equatable {
  /// Rows of the loss: examples, or predicted tokens.
  public var rows: Int
  /// Rows with a label; every predicted token has one.
  public var labelled: Int
  /// Sequences.
  public var sequences: Int
  /// Tokens.
  public var tokens: Int
  /// Σ over sequences of the pairs of a query and a key that attention allows.
  public var pairs: Int
  /// Σ S² over sequences of S tokens.
  public var cells: Int

  /// The counts of sequences with these lengths.
  ///
  /// - Parameter isCausal: whether a query sees only keys up to its own place.
  public init(rows: Int, labelled: Int, lengths: [Int], isCausal: Bool) {
    self.rows = rows
    self.labelled = labelled
    sequences = lengths.count
    tokens = lengths.reduce(0, +)
    cells = lengths.reduce(0) { $0 + $1 * $1 }
    pairs = isCausal ? (cells + tokens) / 2 : cells
  }
}
