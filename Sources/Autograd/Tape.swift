import CKernels
import Platform
import Tensors

/// One operation of a computation, with its backward pass.
///
/// A conforming struct holds only the tensors that its backward pass needs.
package protocol Operation {
  /// The weights to whose gradients this operation adds; `Tape` counts them to detect complete gradients.
  var parameters: [Parameter] { get }

  /// Propagates `gradient` = dLoss/doutput to the inputs through `gradients` and adds to the parameters' gradient
  /// buffers.
  ///
  /// `gradient` has the format of the output. It may be shared with other operations, so the operation must not write
  /// to it unless `gradients.isGivenOwned`.
  func backward(_ gradient: Tensor, _ gradients: inout Gradients)
}

extension Operation {
  package var parameters: [Parameter] { [] }
}

/// dLoss/dvariable for the variables of one backward pass, each in the format of its variable.
package struct Gradients {
  private struct Slot {
    var tensor: Tensor
    var isOwned: Bool
  }
  private var slots: [Slot?]
  /// Whether the current operation is the only user of the gradient that it gets, so it may write to it.
  package private(set) var isGivenOwned = false

  init(count: Int) { slots = Array(repeating: nil, count: count) }

  /// Adds slots for entries that were appended to the tape in the meantime.
  mutating func makeRoom(for count: Int) {
    if count > slots.count { slots += Array(repeating: nil, count: count - slots.count) }
  }

  /// Whether the variable needs a gradient; otherwise an operation can skip the work.
  package func wants(_ variable: Variable) -> Bool { wants(variable.place) }

  /// Whether the variable of this place needs a gradient.
  package func wants(_ place: VariablePlace) -> Bool { place.entry != nil }

  /// Adds to the gradient of the variable.
  ///
  /// - Parameter owned: whether the tensor has no other user, so it may be written to later.
  package mutating func add(_ tensor: Tensor, to variable: Variable, owned: Bool = true) {
    add(tensor, to: variable.place, owned: owned)
  }

  /// Adds to the gradient of the variable of this place.
  ///
  /// - Parameters:
  ///   - tensor: in any format; it is converted to the variable's. Each bf16 sum is rounded once.
  ///   - owned: whether the tensor has no other user, so it may be written to later.
  package mutating func add(_ tensor: Tensor, to place: VariablePlace, owned: Bool = true) {
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

  /// Takes the current float32 gradient of the variable of this place, to add to it in place and return it with `add`;
  /// nil if it has none yet.
  mutating func takeForSum(_ place: VariablePlace) -> Tensor? {
    guard let entry = place.entry, let slot = slots[entry] else { return nil }
    slots[entry] = nil
    return slot.isOwned ? slot.tensor : slot.tensor.copy()
  }

  /// - Parameter shared: whether the caller of the backward pass uses the gradient too.
  mutating func take(_ entry: Int, shared: Bool = false) -> Tensor? {
    defer { slots[entry] = nil }
    isGivenOwned = !shared && slots[entry]?.isOwned == true
    return slots[entry]?.tensor
  }
}

extension Gradients {
  /// Adds to the gradient of the entry.
  mutating func add(_ tensor: Tensor, toEntry entry: Int) {
    add(tensor, to: VariablePlace(entry: entry, shape: tensor.shape, dtype: tensor.dtype))
  }
}

/// The linear record of a forward pass; `backward` walks it from the end and frees each entry when it is done.
///
/// With a tape that does not record, the same model code is an inference pass: nothing is kept.
package final class Tape {
  /// Whether operations are kept for a backward pass; otherwise every output is a constant.
  package let isRecording: Bool
  /// With bf16, values between operations, values kept for the backward pass and operands of products are bf16.
  package let precision: Precision
  /// The bf16 copies of weights that this pass uses.
  package let weights: BF16Weights
  /// Whether no bit of a sequence's result depends on the other sequences of its batch.
  package let hasIndependentRows: Bool
  /// Whether the pass decodes one token at a time: products of one row then read their weight once, without conversion.
  package let isDecoding: Bool
  /// Follows the pass; nil if all weights and gradients are always in memory and nothing waits for them.
  let observer: (any TapeObserver)?
  var entries: [TapeEntry] = []
  /// The number of entries on the tape that add to each parameter's gradient.
  var uses: [ObjectIdentifier: Int] = [:]
  /// The entries of each block, in the order of the forward pass; empty without an observer.
  var spans: [BlockSpan] = []
  /// The entries of the losses that `addLoss` added.
  var losses: [Int] = []

  /// An empty tape; `recording: false` makes it one for inference.
  ///
  /// - Parameters:
  ///   - weights: copies that outlive the pass and are invalidated by the caller; by default a pass in bf16 makes its
  ///     own.
  ///   - independentRows: gives a sequence the same bits in every batch, at some cost in speed.
  ///   - decoding: for inference only; the last bits of a row differ from those in a pass of many rows.
  ///   - observer: follows the pass, forward and in `observedBackward`.
  package init(
    recording: Bool, precision: Precision = .fp32, weights: BF16Weights = BF16Weights(), independentRows: Bool = false,
    decoding: Bool = false, observer: (any TapeObserver)? = nil
  ) {
    isRecording = recording
    self.precision = precision
    self.weights = weights
    hasIndependentRows = independentRows
    isDecoding = decoding && !recording
    self.observer = observer
  }

  /// Reports that an operation will add to a weight's gradient, which may have no memory yet. The backward pass calls
  /// it for each operation; operations that add in the forward pass call it themselves.
  package func needGradient(of parameter: Parameter) { observer?.gradientNeeded(parameter) }

  /// Adds a scalar to the loss of the pass, which is the sum of all such scalars.
  ///
  /// So a term on a value inside the model is added where the value is computed, and a block that the backward pass
  /// recomputes adds its terms again.
  package func addLoss(_ loss: Variable) {
    precondition(loss.value.count == 1, "a loss is a scalar, not \(loss.shape)")
    if let entry = loss.entry { losses.append(entry) }
  }

  /// A leaf that receives a gradient, for tests and for trained inputs.
  package func leaf(_ value: Tensor) -> Variable {
    guard isRecording else { return Variable(constant: value) }
    entries.append(.operation(Leaf()))
    return Variable(value: value, entry: entries.count - 1)
  }

  /// Appends an operation to the tape if an input or a parameter of it needs a gradient, and returns its output.
  ///
  /// - Parameter recompute: computes the output again, bit for bit, from the values that the operation keeps, so other
  ///   operations that need it in their backward pass do not hold its memory.
  package func record(
    _ output: Tensor, from inputs: [Variable], recompute: (@Sendable () -> Tensor)? = nil,
    _ operation: @autoclosure () -> some Operation
  ) -> Variable {
    guard isRecording else { return Variable(constant: output) }
    let operation = operation()
    let trained = operation.parameters.filter { $0.isTrained }
    guard !trained.isEmpty || inputs.contains(where: \.needsGradient) else { return Variable(constant: output) }
    for parameter in trained { uses[ObjectIdentifier(parameter), default: 0] += 1 }
    entries.append(.operation(operation))
    return Variable(value: output, entry: entries.count - 1, recompute: recompute)
  }

  /// Runs the backward pass from scalars, whose own gradients are 1, on a tape without an observer.
  ///
  /// - Parameters:
  ///   - loss: a scalar in addition to those of `addLoss`.
  ///   - leaves: variables whose gradients are returned, in order; zeros if no gradient reached them.
  /// The tape is empty afterwards.
  @discardableResult
  package func backward(from loss: Variable? = nil, leaves: [Variable] = []) -> [Tensor] {
    precondition(observer == nil, "a backward pass with an observer is observedBackward")
    return backward(from: loss, leaves: leaves, ready: { _ in }, afterOperation: {})
  }

  /// Runs the backward pass as `backward` does, and tells the observer of each step; throws the observer's errors.
  @discardableResult
  package func observedBackward(from loss: Variable? = nil, leaves: [Variable] = []) throws -> [Tensor] {
    try backward(
      from: loss, leaves: leaves, ready: { try observer?.gradientReady($0) },
      afterOperation: { try observer?.afterOperation() })
  }

  private func backward(
    from loss: Variable?, leaves: [Variable], ready: (Parameter) throws -> Void, afterOperation: () throws -> Void
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
      // Recomputed operations reuse the entry numbers from here on, so a leaf's number is valid only once.
      let place = entries.count
      let gradient = gradients.take(place, shared: wanted.contains(place))
      if let gradient, wanted.remove(place) != nil { results[place] = gradient }
      switch entry {
      case .operation(let operation):
        guard let gradient else { break }
        for parameter in operation.parameters where parameter.isTrained { needGradient(of: parameter) }
        operation.backward(gradient, &gradients)
      case .checkpoint(let checkpoint):
        if gradient != nil || checkpoint.hasLosses { recompute(checkpoint, gradient, &gradients) }
      }
      for parameter in entry.parameters where parameter.isTrained {
        uses[ObjectIdentifier(parameter)]! -= 1
        if uses[ObjectIdentifier(parameter)] == 0 { try ready(parameter) }
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
