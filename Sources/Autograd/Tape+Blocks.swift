import Platform
import Tensors

/// What stands on a tape.
enum TapeEntry {
  case operation(any Operation)
  case checkpoint(Checkpoint)

  /// The weights whose gradient the backward pass of the entry adds to.
  var parameters: [Parameter] {
    switch self {
    case .operation(let operation): operation.parameters
    case .checkpoint(let checkpoint): checkpoint.parameters
    }
  }
}

/// A part of the forward pass of which only the input is kept; the backward pass runs it again.
struct Checkpoint {
  let x: Variable
  /// The part; what it puts on the tape that it is given sends the gradient on.
  let body: (Tape, Variable) -> Variable
  /// The trained weights that it uses, each once.
  let parameters: [Parameter]
  /// Whether losses were added inside, so that the backward pass has something to start from there.
  let hasLosses: Bool
}

/// The entries that a block has put on the tape.
struct BlockSpan {
  let block: Int
  let entries: Range<Int>
  /// Whether the backward pass is inside.
  var isEntered = false
}

extension Tape {
  /// Runs a block of the model: its weights are there inside `body`, and again when the backward pass is inside.
  public func block<T>(_ index: Int, _ body: () -> T) -> T {
    guard let residency else { return body() }
    residency.enter(index, .forward)
    let first = entries.count
    let result = body()
    spans.append(BlockSpan(block: index, entries: first..<entries.count))
    residency.leave(index, .forward)
    return result
  }

  /// The result of `body`, of which only the input stays in memory: the backward pass runs `again` (Chen et al., 2016).
  ///
  /// - Parameters:
  ///   - x: the only input through which a gradient flows.
  ///   - body: on this tape.
  ///   - again: the same, on the tape that it is given, to the same bits.
  public func checkpoint(
    _ x: Variable, _ body: (Variable) -> Variable, again: @escaping (Tape, Variable) -> Variable
  ) -> Variable {
    guard isRecording else { return body(x) }
    // The input is held; how its value could be made again would hold more.
    let x = Variable(value: x.value, entry: x.entry)
    let first = entries.count
    let output = body(x)
    guard let last = output.entry, last >= first else { return output }
    var parameters: [Parameter] = []
    for parameter in entries[first...].flatMap(\.parameters) where parameter.gradient != nil {
      uses[ObjectIdentifier(parameter)]! -= 1
      if !parameters.contains(where: { $0 === parameter }) { parameters.append(parameter) }
    }
    entries.removeSubrange(first...)
    for parameter in parameters { uses[ObjectIdentifier(parameter), default: 0] += 1 }
    // The second run adds them anew.
    let hasLosses = losses.contains { $0 >= first }
    losses.removeAll { $0 >= first }
    entries.append(.checkpoint(Checkpoint(x: x, body: again, parameters: parameters, hasLosses: hasLosses)))
    return Variable(value: output.value, entry: first)
  }

  /// Puts a checkpoint's operations on the end of the tape, from where the backward pass goes on.
  func run(_ checkpoint: Checkpoint, again gradient: Tensor?, _ gradients: inout Gradients) {
    let output = Trace.detail("again") { checkpoint.body(self, checkpoint.x) }
    gradients.makeRoom(for: entries.count)
    if let gradient { gradients.add(gradient, to: output, owned: false) }
    startLosses(&gradients)
  }

  /// Gives each loss that was added since the last call the gradient 1.
  func startLosses(_ gradients: inout Gradients) {
    for entry in losses { gradients.add(Tensor([1], []), toEntry: entry) }
    losses = []
  }

  /// Has the weights of the last entry's block brought, where it is in one.
  func enterBlock() {
    guard let span = spans.last, !span.isEntered, span.entries.contains(entries.count - 1) else { return }
    spans[spans.count - 1].isEntered = true
    residency?.enter(span.block, .backward)
  }

  /// Has the weights of each block let go of which nothing is on the tape any more.
  func leaveBlocks() {
    while let span = spans.last, entries.count <= span.entries.lowerBound {
      spans.removeLast()
      if span.isEntered { residency?.leave(span.block, .backward) }
    }
  }

  /// The value of a weight for a closure that outlives its block: a copy, where the weights of blocks come and go.
  func lasting(_ parameter: Parameter) -> Tensor {
    residency == nil || !isRecording ? parameter.value : parameter.value.copy()
  }
}
