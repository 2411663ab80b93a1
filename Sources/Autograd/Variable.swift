import Tensors

/// A tensor together with its place on a tape; a constant has no place and receives no gradient.
public struct Variable: Sendable {
  /// The numbers; operations read them, none writes to them.
  public let value: Tensor
  /// The number of the tape entry that made the value, or nil for a constant.
  let entry: Int?
  /// Makes the value once more, from what the tape keeps anyway; nil where only keeping it will do.
  let again: (@Sendable () -> Tensor)?

  /// A value through which no gradient flows.
  public init(constant value: Tensor) { self.init(value: value, entry: nil) }

  init(value: Tensor, entry: Int?, again: (@Sendable () -> Tensor)? = nil) {
    self.value = value
    self.entry = entry
    self.again = again
  }

  /// The shape of the value.
  public var shape: Shape { value.shape }
  /// Whether a gradient flows through it.
  package var needsGradient: Bool { entry != nil }

  /// Where the variable's gradient goes, for an operation that does not need the value again.
  public var place: VariablePlace { VariablePlace(entry: entry, shape: shape, dtype: value.dtype) }

  /// The value for a backward pass: how to make it again, or else this form of it.
  func kept(as tensor: Tensor) -> KeptValue { again.map(KeptValue.made) ?? .held(tensor) }
}

/// A value that a backward pass needs, in memory or as the way to make it again.
enum KeptValue: Sendable {
  case held(Tensor)
  case made(@Sendable () -> Tensor)

  /// The value; made anew by each call, where it is not held.
  var tensor: Tensor {
    switch self {
    case .held(let tensor): tensor
    case .made(let make): make()
    }
  }
}

/// A variable without its value: an operation that keeps this alone lets the value's memory go.
public struct VariablePlace: Sendable {
  let entry: Int?
  /// The shape of the value and of its gradient.
  public let shape: Shape
  /// The format of the value and of its gradient.
  public let dtype: DType
}

/// A named weight of a model; it can be trained once somebody gives it a gradient buffer.
///
/// Only `Training` does that. The parameters of a teacher never have one, so no operation can
/// compute a gradient for them: freezing is the absence of a place to write to.
public final class Parameter {
  /// The name inside the model, unique there.
  public let name: String
  /// Rebound when the values move into the flat buffer of the optimizer; where ranks share the weights out, each time
  /// they come and go, and `Tensor.absent` in between.
  public var value: Tensor
  /// For a table of which some rows only are in memory, and `value` is absent: those rows, in the places that
  /// `gradientRows` says; nil where `value` has all.
  public var valueRows: Tensor?
  /// Where backward passes add dLoss/dvalue; nil for a weight that is not trained.
  ///
  /// Where ranks share gradients out it is absent until a `Tape` says that it is needed.
  public var gradient: Tensor?
  /// For a table of which `gradient` holds some rows only: the row of `gradient` for each row of the table, −1 where it
  /// has none; nil where the gradient has the shape of the value.
  public var gradientRows: [Int32]?
  /// Whether weight decay applies: false for biases and norms.
  public let decays: Bool
  /// Whether it is read as the W of products x·Wᵀ, and by nothing else.
  public let isFactor: Bool

  /// A weight with its first values and no gradient buffer; `decays` is false for biases and norms.
  public init(_ name: String, _ value: Tensor, decays: Bool, isFactor: Bool = false) {
    self.name = name
    self.value = value
    self.decays = decays
    self.isFactor = isFactor
  }

  /// Whether products in a pass of this precision read it rounded to bf16.
  ///
  /// By its shape alone, small ones staying as they are: the rows of a rank's batch must not decide how a product is
  /// rounded.
  package func isRoundedFactor(in precision: Precision) -> Bool {
    precision == .bf16 && min(value.rows, value.columns) >= 16
  }

  /// Whether a pass of this precision reads it rounded to bf16, and in no other way.
  public func isRounded(in precision: Precision) -> Bool { isFactor && isRoundedFactor(in: precision) }

  /// Where rows of the table lie in what holds some of them only.
  func places(of rows: [Int32]) -> [Int32] {
    guard let gradientRows else { return rows }
    return rows.map { row in
      if row < 0 { return row }
      let place = gradientRows[Int(row)]
      precondition(place >= 0, "row \(row) of \(name) is read, but has no place in this step")
      return place
    }
  }

  /// The number of elements.
  public var count: Int { value.count }
  /// The shape of the value, and of a whole gradient.
  public var shape: Shape { value.shape }
}
