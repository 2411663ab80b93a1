import Platform
import Tensors

/// An entry of a tape.
enum TapeEntry {
  case operation(any Operation)
  case checkpoint(Checkpoint)

  /// The weights to whose gradients the backward pass of the entry adds.
  var parameters: [Parameter] {
    switch self {
    case .operation(let operation): operation.parameters
    case .checkpoint(let checkpoint): checkpoint.parameters
    }
  }
}

/// A part of the forward pass that keeps only its input; the backward pass recomputes the rest.
struct Checkpoint {
  let x: Variable
  /// Runs the part and records its operations on the given tape.
  let body: (Tape, Variable) -> Variable
  /// The trained weights of the part, each once.
  let parameters: [Parameter]
  /// Whether losses were added inside, from which the backward pass starts there.
  let hasLosses: Bool
}

/// The tape entries of a block.
struct BlockSpan {
  let block: Int
  let entries: Range<Int>
  /// Whether the backward pass has entered the block.
  var isEntered = false
}

extension Tape {
  /// Runs a block of the model, whose weights the observer keeps in memory during `body` and the block's backward pass.
  package func block<T>(_ index: Int, _ body: () -> T) -> T {
    guard let observer else { return body() }
    observer.enter(index, .forward)
    let first = entries.count
    let result = body()
    spans.append(BlockSpan(block: index, entries: first..<entries.count))
    observer.leave(index, .forward)
    return result
  }

  /// The result of `body`, which keeps only its input in memory; the backward pass recomputes it (Chen et al., 2016).
  ///
  /// - Parameters:
  ///   - x: the only input through which a gradient flows.
  ///   - body: the computation on this tape.
  ///   - recompute: the same computation on the tape that it gets, with the same bits.
  package func checkpoint(
    _ x: Variable, _ body: (Variable) -> Variable, recompute: @escaping (Tape, Variable) -> Variable
  ) -> Variable {
    guard isRecording else { return body(x) }
    // Hold the input itself: its `recompute` closure would hold more memory.
    let x = Variable(value: x.value, entry: x.entry)
    let first = entries.count
    let output = body(x)
    guard let last = output.entry, last >= first else { return output }
    var parameters: [Parameter] = []
    for parameter in entries[first...].flatMap(\.parameters) where parameter.isTrained {
      uses[ObjectIdentifier(parameter)]! -= 1
      if !parameters.contains(where: { $0 === parameter }) { parameters.append(parameter) }
    }
    entries.removeSubrange(first...)
    for parameter in parameters { uses[ObjectIdentifier(parameter), default: 0] += 1 }
    // The recomputation adds them again.
    let hasLosses = losses.contains { $0 >= first }
    losses.removeAll { $0 >= first }
    entries.append(.checkpoint(Checkpoint(x: x, body: recompute, parameters: parameters, hasLosses: hasLosses)))
    return Variable(value: output.value, entry: first)
  }

  /// Appends a checkpoint's operations to the tape, where the backward pass continues: with the output's gradient, if
  /// it has one, and with the losses that were added inside.
  func recompute(_ checkpoint: Checkpoint, _ gradient: Tensor?, _ gradients: inout Gradients) {
    let output = Trace.detail("recompute") { checkpoint.body(self, checkpoint.x) }
    gradients.makeRoom(for: entries.count)
    if let gradient { gradients.add(gradient, to: output, owned: false) }
    startLosses(&gradients)
  }

  /// Sets the gradient of each loss that was added since the last call to 1.
  func startLosses(_ gradients: inout Gradients) {
    for entry in losses { gradients.add(Tensor([1], []), toEntry: entry) }
    losses = []
  }

  /// Tells the observer that the backward pass enters the block of the last entry, if there is one.
  func enterBlock() {
    guard let span = spans.last, !span.isEntered, span.entries.contains(entries.count - 1) else { return }
    spans[spans.count - 1].isEntered = true
    observer?.enter(span.block, .backward)
  }

  /// Tells the observer that the backward pass leaves every block without entries left.
  func leaveBlocks() {
    while let span = spans.last, entries.count <= span.entries.lowerBound {
      spans.removeLast()
      if span.isEntered { observer?.leave(span.block, .backward) }
    }
  }

  /// The value of a weight for a closure that outlives its block: a copy if the observer releases the weights.
  func lasting(_ parameter: Parameter) -> Tensor {
    isRecording && observer?.releasesWeights == true ? parameter.value.copy() : parameter.value
  }
}
