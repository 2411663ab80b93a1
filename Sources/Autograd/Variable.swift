import Tensors

/// A tensor together with its place on a tape; a constant has no place and receives no gradient.
package struct Variable: Sendable {
  /// The values, which operations read and never write to.
  package let value: Tensor
  /// The number of the tape entry that computed the value, or nil for a constant.
  let entry: Int?
  /// Computes the value again from what the tape keeps anyway; nil if the value itself must be kept.
  let recompute: (@Sendable () -> Tensor)?

  /// A value through which no gradient flows.
  package init(constant value: Tensor) { self.init(value: value, entry: nil) }

  init(value: Tensor, entry: Int?, recompute: (@Sendable () -> Tensor)? = nil) {
    self.value = value
    self.entry = entry
    self.recompute = recompute
  }

  /// The shape of the value.
  package var shape: Shape { value.shape }
  /// Whether a gradient flows through it.
  package var needsGradient: Bool { entry != nil }

  /// The destination of the variable's gradient, for an operation whose backward pass does not need the value.
  package var place: VariablePlace { VariablePlace(entry: entry, shape: shape, dtype: value.dtype) }

  /// The value for a backward pass: recomputed if possible, otherwise this form of it.
  func kept(as tensor: Tensor) -> KeptValue { recompute.map(KeptValue.recomputed) ?? .held(tensor) }
}

/// A value that a backward pass needs, in memory or recomputed.
enum KeptValue: Sendable {
  case held(Tensor)
  case recomputed(@Sendable () -> Tensor)

  /// The value; each call recomputes it unless it is held.
  var tensor: Tensor {
    switch self {
    case .held(let tensor): tensor
    case .recomputed(let recompute): recompute()
    }
  }
}

/// A variable without its value, for operations that do not hold the value's memory.
package struct VariablePlace: Sendable {
  let entry: Int?
  /// The shape of the value and of its gradient.
  package let shape: Shape
  /// The format of the value and of its gradient.
  package let dtype: DType
}

/// A named weight of a model; it is trained if it has a gradient buffer.
///
/// Only `Training` assigns one. The parameters of a teacher never have one, so no operation can compute a gradient for
/// them.
package final class Parameter {
  /// The name, unique within the model.
  package let name: String
  /// The values. They are rebound when they move into the optimizer's flat buffer and, with sharded weights, whenever
  /// they are gathered and released; in between they are `Tensor.absent`.
  package var value: Tensor
  /// The rows in memory of a lookup table whose `value` is absent, indexed by `gradientRows`; nil if `value` has all
  /// rows.
  package var valueRows: Tensor?
  /// The buffer to which backward passes add dLoss/dvalue; nil for a weight that is not trained.
  ///
  /// With sharded gradients it is absent until a `Tape` reports that it is needed.
  package var gradient: Tensor? {
    get {
      if let buffer, isGradientUnwritten {
        buffer.fill(0)
        isGradientUnwritten = false
      }
      return buffer
    }
    set {
      buffer = newValue
      isGradientUnwritten = false
    }
  }
  private var buffer: Tensor?
  /// Whether the gradient is zero and its buffer still has to become so.
  private var isGradientUnwritten = false
  /// For a lookup table with only some rows in `gradient`: the row of `gradient` for each row of the table, or −1; nil
  /// if the gradient has the shape of the value.
  package var gradientRows: [Int32]?
  /// Whether weight decay applies: false for biases and norms.
  package let decays: Bool
  /// Whether only products x·Wᵀ read it, as their W.
  package let isFactor: Bool

  /// A weight with its initial values and no gradient buffer; `decays` is false for biases and norms.
  package init(_ name: String, _ value: Tensor, decays: Bool, isFactor: Bool = false) {
    self.name = name
    self.value = value
    self.decays = decays
    self.isFactor = isFactor
  }

  /// Whether it has a gradient buffer.
  package var isTrained: Bool { buffer != nil }

  /// Sets the gradient to zero without writing it: the next operation that adds to it may write it instead.
  package func clearGradient() { isGradientUnwritten = true }

  /// The gradient for an operation that adds a sum to all of its elements, and whether it has to add: otherwise the
  /// gradient is zero, and the operation overwrites the buffer. nil for a weight that is not trained.
  package func gradientForSum() -> (buffer: Tensor, adds: Bool)? {
    guard let buffer else { return nil }
    defer { isGradientUnwritten = false }
    return (buffer, !isGradientUnwritten)
  }

  /// Whether products in a pass of this precision read it rounded to bf16.
  ///
  /// It depends on the weight's shape alone (small ones stay in float32), since the number of rows in a rank's batch
  /// must not decide how a product is rounded.
  package func isRoundedFactor(in precision: Precision) -> Bool {
    precision == .bf16 && min(value.rows, value.columns) >= 16
  }

  /// Whether a pass of this precision reads it only rounded to bf16.
  package func isRounded(in precision: Precision) -> Bool { isFactor && isRoundedFactor(in: precision) }

  /// The positions of the table's rows in `gradient` and `valueRows`.
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
  package var count: Int { value.count }
  /// The shape of the value, and of a whole gradient.
  package var shape: Shape { value.shape }
}
