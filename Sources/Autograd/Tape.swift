import CKernels
import Platform
import Tensors

/// One step of a computation that knows how to send a gradient back to its inputs.
///
/// A conforming struct holds exactly the tensors that its backward pass needs.
public protocol Operation {
  /// The weights whose gradient this operation adds to; `Tape` counts them to tell when one is complete.
  var parameters: [Parameter] { get }

  /// Sends `gradient` = dLoss/doutput to the inputs through `gradients` and adds to the parameters' gradient buffers.
  ///
  /// `gradient` has the format of the output. It may be shared with other operations and must not be written to, unless
  /// `gradients.isGivenOwned`.
  func backward(_ gradient: Tensor, _ gradients: inout Gradients)
}

extension Operation {
  public var parameters: [Parameter] { [] }
}

/// dLoss/dvariable for the variables of one backward pass, each in the format of its variable.
public struct Gradients {
  private struct Slot {
    var tensor: Tensor
    var isOwned: Bool
  }
  private var slots: [Slot?]
  /// Whether nobody else sees the gradient that the present operation was given, so that it may write to it.
  public private(set) var isGivenOwned = false

  init(count: Int) { slots = Array(repeating: nil, count: count) }

  /// Makes room for variables that came on the tape in the meantime.
  mutating func makeRoom(for count: Int) {
    if count > slots.count { slots += Array(repeating: nil, count: count - slots.count) }
  }

  /// Whether the variable takes part, so that an operation can leave work out.
  public func wants(_ variable: Variable) -> Bool { wants(variable.place) }

  /// Whether the variable of this place takes part.
  public func wants(_ place: VariablePlace) -> Bool { place.entry != nil }

  /// Adds a gradient to what the variable has so far.
  ///
  /// - Parameter owned: whether the tensor was made for this call alone, so that it may be written to later.
  public mutating func add(_ tensor: Tensor, to variable: Variable, owned: Bool = true) {
    add(tensor, to: variable.place, owned: owned)
  }

  /// Adds a gradient to what the variable of this place has so far.
  ///
  /// - Parameters:
  ///   - tensor: in any format; it is brought into the variable's. Sums of bf16 are rounded once each.
  ///   - owned: whether the tensor was made for this call alone, so that it may be written to later.
  public mutating func add(_ tensor: Tensor, to place: VariablePlace, owned: Bool = true) {
    guard let entry = place.entry else { return }
    precondition(tensor.count == place.shape.count, "gradient \(tensor.shape) for a variable of shape \(place.shape)")
    let (given, owned) = (tensor.converted(to: place.dtype), owned || tensor.dtype != place.dtype)
    guard let slot = slots[entry] else {
      slots[entry] = Slot(tensor: given, isOwned: owned)
      return
    }
    let sum =
      slot.isOwned
      ? slot.tensor
      : owned ? given : .matrix(uninitializedRows: given.rows, columns: given.columns, given.dtype)
    if given.dtype == .bfloat16 {
      rtk_bf16_add(sum.bf16Words, slot.tensor.bf16Words, given.bf16Words, given.count)
    } else {
      rtk_add(sum.floats, slot.tensor.floats, given.floats, given.count)
    }
    slots[entry] = Slot(tensor: sum, isOwned: true)
  }

  /// The float32 gradient that the variable of this place has so far, to be added to in place and given back by `put`;
  /// nil where it has none yet.
  mutating func takeForSum(_ place: VariablePlace) -> Tensor? {
    guard let entry = place.entry, let slot = slots[entry] else { return nil }
    slots[entry] = nil
    return slot.isOwned ? slot.tensor : slot.tensor.copy()
  }

  /// - Parameter shared: whether somebody outside sees the gradient too.
  mutating func take(_ entry: Int, shared: Bool = false) -> Tensor? {
    defer { slots[entry] = nil }
    isGivenOwned = !shared && slots[entry]?.isOwned == true
    return slots[entry]?.tensor
  }
}

extension Gradients {
  /// Adds a gradient to what the entry has so far.
  mutating func add(_ tensor: Tensor, toEntry entry: Int) {
    add(tensor, to: VariablePlace(entry: entry, shape: tensor.shape, dtype: tensor.dtype))
  }
}

/// The linear record of a forward pass; `backward` walks it from the end and frees each entry as it goes.
///
/// A tape that does not record makes the same model code an inference pass: nothing is kept.
public final class Tape {
  /// Whether operations are kept for a backward pass; without that every output is a constant.
  public let isRecording: Bool
  /// bf16: what travels between operations and what they keep is in that format, as operands of products are.
  public let precision: Precision
  /// The bf16 copies of weights that this pass uses.
  package let weights: BF16Weights
  /// Whether products are made so that what a sequence comes to does not depend, in any bit, on its batch.
  public let hasIndependentRows: Bool
  /// Whether the pass is of a token at a time: products of one row then read their weight once, as it is.
  public let isDecoding: Bool
  /// Who brings the weights of blocks and lets them go; nil where all are in memory all the time.
  public let residency: (any BlockResidency)?
  private let onGradientNeeded: ((Parameter) -> Void)?
  var entries: [TapeEntry] = []
  /// How often entries that are on the tape add to a parameter's gradient.
  var uses: [ObjectIdentifier: Int] = [:]
  /// The entries of each block, in the order of the forward pass; empty without a residency.
  var spans: [BlockSpan] = []
  /// The entries of the losses that `addLoss` was given.
  var losses: [Int] = []

  /// An empty tape; `recording: false` makes it one for inference.
  ///
  /// - Parameters:
  ///   - weights: copies that outlive the pass, from somebody who knows when the weights change; without them a pass
  ///     in bf16 makes its own.
  ///   - independentRows: gives a sequence the same bits in every batch, at some cost in speed.
  ///   - decoding: for inference alone; the last bits of a row differ from those of a pass of many.
  ///   - residency: is told of each block that the pass enters and leaves, forward and backward.
  ///   - onGradientNeeded: called before an operation adds to the gradient of a trained weight, however often.
  public init(
    recording: Bool, precision: Precision = .fp32, weights: BF16Weights = BF16Weights(), independentRows: Bool = false,
    decoding: Bool = false, residency: (any BlockResidency)? = nil, onGradientNeeded: ((Parameter) -> Void)? = nil
  ) {
    isRecording = recording
    self.precision = precision
    self.weights = weights
    hasIndependentRows = independentRows
    isDecoding = decoding && !recording
    self.residency = residency
    self.onGradientNeeded = onGradientNeeded
  }

  /// Tells that something is about to be added to a weight's gradient, which may have no memory yet; the backward pass
  /// does so by itself, so this is for what adds to it in the forward pass.
  package func needGradient(of parameter: Parameter) { onGradientNeeded?(parameter) }

  /// Adds a scalar to what the backward pass starts from: the loss of the pass is the sum of all such scalars.
  ///
  /// So a term on a value inside the model joins the loss where the value is, and a block that the backward pass
  /// recomputes brings its terms along.
  public func addLoss(_ loss: Variable) {
    precondition(loss.value.count == 1, "a loss is a scalar, not \(loss.shape)")
    if let entry = loss.entry { losses.append(entry) }
  }

  /// A leaf that receives a gradient, for tests and for inputs that are trained.
  public func leaf(_ value: Tensor) -> Variable {
    guard isRecording else { return Variable(constant: value) }
    entries.append(.operation(Leaf()))
    return Variable(value: value, entry: entries.count - 1)
  }

  /// Puts an operation on the tape, if anything before it needs a gradient, and returns its output.
  ///
  /// - Parameter again: makes the output once more, to the last bit, from what the operation keeps: other operations
  ///   that need it in their backward pass then do not hold on to it.
  public func record(
    _ output: Tensor, from inputs: [Variable], again: (@Sendable () -> Tensor)? = nil,
    _ operation: @autoclosure () -> some Operation
  ) -> Variable {
    guard isRecording else { return Variable(constant: output) }
    let operation = operation()
    let trained = operation.parameters.filter { $0.gradient != nil }
    guard !trained.isEmpty || inputs.contains(where: \.needsGradient) else { return Variable(constant: output) }
    for parameter in trained { uses[ObjectIdentifier(parameter), default: 0] += 1 }
    entries.append(.operation(operation))
    return Variable(value: output, entry: entries.count - 1, again: again)
  }

  /// Runs the backward pass from the losses that were added and from `loss`, where it is given, and returns the
  /// gradients of `leaves`.
  @discardableResult
  public func backward(from loss: Variable? = nil, leaves: [Variable] = []) -> [Tensor] {
    backward(from: loss, leaves: leaves, onParameterReady: { _ in }, afterOperation: {})
  }

  /// Runs the backward pass from scalars, whose own gradients are 1, telling of its progress.
  ///
  /// - Parameters:
  ///   - loss: a scalar besides those that `addLoss` was given.
  ///   - leaves: variables whose gradients are returned, in order; zeros where nothing reached them.
  ///   - onParameterReady: called as soon as a parameter's gradient is complete for this pass.
  ///   - afterOperation: called after each operation, the place to let communication make progress.
  /// The tape is empty afterwards.
  @discardableResult
  public func backward(
    from loss: Variable? = nil, leaves: [Variable] = [], onParameterReady: (Parameter) throws -> Void,
    afterOperation: () throws -> Void
  ) rethrows -> [Tensor] {
    if let loss { addLoss(loss) }
    var gradients = Gradients(count: entries.count)
    var results: [Int: Tensor] = [:]
    var wanted = Set(leaves.compactMap(\.entry))
    startLosses(&gradients)
    defer { Trace.endSection() }
    while !entries.isEmpty {
      enterBlock()
      let entry = entries.removeLast()
      Trace.enterLayer(of: entry)
      // What a block's second run puts on the tape takes the numbers from here on, so a leaf's is good only once.
      let place = entries.count
      let gradient = gradients.take(place, shared: wanted.contains(place))
      if let gradient, wanted.remove(place) != nil { results[place] = gradient }
      switch entry {
      case .operation(let operation):
        guard let gradient else { break }
        for parameter in operation.parameters where parameter.gradient != nil { needGradient(of: parameter) }
        operation.backward(gradient, &gradients)
      case .checkpoint(let checkpoint):
        if gradient != nil || checkpoint.hasLosses { run(checkpoint, again: gradient, &gradients) }
      }
      for parameter in entry.parameters where parameter.gradient != nil {
        uses[ObjectIdentifier(parameter)]! -= 1
        if uses[ObjectIdentifier(parameter)] == 0 { try onParameterReady(parameter) }
      }
      try afterOperation()
      leaveBlocks()
    }
    uses = [:]
    return leaves.map { leaf in leaf.entry.flatMap { results[$0] } ?? .zeros(leaf.shape) }
  }
}

/// The operation of a leaf: its gradient stops there.
private struct Leaf: Operation {
  func backward(_ gradient: Tensor, _ gradients: inout Gradients) {}
}
