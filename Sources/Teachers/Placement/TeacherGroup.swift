import Autograd
import Collectives
import Datasets
import Layers
import Models
import Platform
import Tensors

/// How the ranks of a group split a teacher.
package enum TeacherSharding: String, Sendable, CaseIterable {
  /// Each rank has a tensor-parallel shard of every layer: two sums over the ranks per layer.
  case tensor
  /// Each rank has a pipeline stage of some layers: states are sent from rank to rank.
  case pipeline

  /// The part of rank `rank` of `count`; pipeline stages are balanced so that the largest has the fewest weights.
  package func part(rank: Int, of count: Int, of model: any Model) -> ModelPart {
    switch self {
    case .tensor: return ModelPart(stage: 0, of: 1, shard: rank, of: count)
    case .pipeline:
      let blocks = model.blocks.map { $0.reduce(0) { $0 + $1.count } }
      let ends = count > 1 && count <= blocks.count - 2 ? ModelPart.balancedEnds(blocks, stages: count) : nil
      return ModelPart(stage: rank, of: count, stageEnds: ends)
    }
  }
}

/// This rank's part of a teacher, the ranks with the other parts, and their common passes.
///
///     requests of the students   | a a a | b b | c c c c |
///     passes of the group        | a a a b | b c c | c c |     by tokens, across the boundaries of requests
///     answers                    | a a a | b b | c c c c |     delivered request by request
///
/// Rows of an answer do not depend on the other rows of their pass, so the split into passes changes nothing, except
/// for last bits of language models.
final class TeacherGroup {
  /// The ranks of the group, in the order of the teacher's parts.
  let communicator: any Communicator
  let sharding: TeacherSharding
  private let forms: SignalForms
  let directory: TeacherDirectory
  private let model: any StagedModel
  private let precision: Precision
  private let data: (train: any ExampleSource, validation: any ExampleSource)
  private let weights = BF16Weights()
  /// Seconds that this rank has waited for other ranks of its group.
  private(set) var waited = 0.0
  /// Bytes that this rank has sent inside the group: states between pipeline stages, or sums over tensor shards.
  private(set) var sentBytes = 0
  private var failure: (any Error)?
  private let blocks: GroupBlocks

  /// - Parameters:
  ///   - model: this rank's part.
  ///   - train: the training examples in the teacher's own tokens.
  ///   - residency: loads and releases the weights of blocks.
  /// Collective.
  init(
    _ model: any StagedModel, _ sharding: TeacherSharding, _ payload: SignalPayload, precision: Precision,
    train: any ExampleSource, validation: any ExampleSource, residency: (any TapeObserver)? = nil,
    on communicator: any Communicator
  ) throws {
    blocks = GroupBlocks(residency)
    self.model = model
    self.sharding = sharding
    self.precision = precision
    self.communicator = communicator
    forms = SignalForms(payload, hidden: model.hiddenSize, precision: precision)
    data = (train, validation)
    let own = model.part.hasHead ? model.headRows : 0..<0
    let bounds = try communicator.allGather([own.lowerBound, own.upperBound])
    directory = TeacherDirectory(bounds: bounds.flatMap { $0 }, payload)
  }

  private func source(_ split: Split) -> any ExampleSource { split == .train ? data.train : data.validation }

  /// Sets a closure that is called at the boundaries of blocks, to let MPI move messages.
  func poll(_ progress: @escaping () throws -> Void) { blocks.progress = progress }

  /// Answers requests; collective over the group, with the same requests on all ranks.
  ///
  /// - Parameter deliver: called on each rank with a head, in the order of the requests, with the message for a
  ///   request; not called for requests without examples.
  func answer(_ requests: [[Int]], in split: Split, deliver: (_ request: Int, _ message: Tensor) throws -> Void) throws
  {
    let passes = cut(requests, in: split)
    var open = OpenAnswers(requests)
    switch sharding {
    case .tensor:
      for pass in passes {
        try open.add(try messages(of: pass, in: split), pass, deliver)
      }
    case .pipeline: try flow(passes, in: split) { try open.add($0, $1, deliver) }
    }
  }

  // MARK: passes

  /// A pass of the group: its examples and the requests that they belong to.
  struct Pass {
    var samples: [Int] = []
    /// Requests with the number of their examples in this pass, in order.
    var shares: [(request: Int, examples: Int)] = []
  }

  /// The most tokens of a pass.
  private static let passTokens = 2048
  /// The least tokens of a pass that is split off for a pipeline.
  private static let leastTokens = 256

  private func cut(_ requests: [[Int]], in split: Split) -> [Pass] {
    let source = source(split)
    let tokens = requests.joined().reduce(0) { $0 + source.length($1) }
    // A pipeline needs several passes, so that all of its stages work at the same time.
    let stages = sharding == .pipeline ? communicator.size : 1
    let wanted = stages == 1 ? TeacherGroup.passTokens : tokens / (3 * stages)
    let bound = min(TeacherGroup.passTokens, max(TeacherGroup.leastTokens, wanted))
    var (passes, current, load) = ([Pass](), Pass(), 0)
    for (request, samples) in requests.enumerated() {
      for sample in samples {
        let length = source.length(sample)
        if !current.samples.isEmpty, load + length > bound {
          passes.append(current)
          (current, load) = (Pass(), 0)
        }
        current.samples.append(sample)
        load += length
        if current.shares.last?.request == request {
          current.shares[current.shares.count - 1].examples += 1
        } else {
          current.shares.append((request, 1))
        }
      }
    }
    return current.samples.isEmpty ? passes : passes + [current]
  }

  private func context() -> ForwardContext {
    // Signals that are never cached need not be independent of the batch, so that products can be faster.
    .inference(
      precision: precision, weights: weights, independentRows: data.train.kind.definition.keepsSignals,
      tapeObserver: blocks,
      sumOverShards: communicator.size > 1 && sharding == .tensor ? { [unowned self] in sum($0) } : nil)
  }

  /// Sums a tensor over the tensor-parallel shards, in place. A pass cannot throw, so an error is thrown after it.
  private func sum(_ x: Tensor) {
    guard failure == nil else { return }
    sentBytes += 4 * x.count
    do { try timed { try communicator.allReduce(x.buffer, .sum) } } catch { failure = error }
  }

  private func timed<T>(_ body: () throws -> T) rethrows -> T {
    let clock = ContinuousClock()
    let start = clock.now
    defer { waited += (clock.now - start).seconds }
    return try body()
  }

  /// Runs a pass on a rank with a tensor-parallel shard of all layers; returns its messages.
  private func messages(of pass: Pass, in split: Split) throws -> [Tensor] {
    let batch = source(split).batch(pass.samples)
    try batch.requireWithin(model.bounds.ofInputs)
    let context = context()
    let x = model.advance(model.embed(batch, context), batch, context)
    let messages = finish(x, batch, pass, in: split, context)
    if let failure = failure ?? blocks.failure { throw failure }
    return messages
  }

  /// The messages for the requests that have examples in a pass.
  private func finish(_ x: Variable, _ batch: Batch, _ pass: Pass, in split: Split, _ context: ForwardContext)
    -> [Tensor]
  {
    let states = model.headStates(x, batch, context).value
    let message = forms[split].encode(states, classes: model.headRows) {
      model.headLogits(Variable(constant: $0), context).value
    }
    return rows(of: pass, batch, in: split).map { message.rows($0) }
  }

  /// The rows of a pass's answer that belong to each request, in order.
  private func rows(of pass: Pass, _ batch: Batch, in split: Split) -> [Range<Int>] {
    let source = source(split)
    var (example, token, row) = (0, 0, 0)
    return pass.shares.map { share in
      let samples = pass.samples[example..<example + share.examples]
      let tokens = samples.reduce(0) { $0 + source.length($1) }
      let targets = batch.countsTokens ? batch.targets[token..<token + tokens] : []
      let count =
        batch.countsTokens
        ? targets.count { $0 != Batch.uncounted } : samples.reduce(0) { $0 + source.lossRows($1) }
      defer { (example, token, row) = (example + share.examples, token + tokens, row + count) }
      return row..<row + count
    }
  }

  // MARK: pipeline

  private static let stateTag = 11
  /// The most passes that a pipeline stage may be ahead of the next one.
  private static let ahead = 4

  /// Runs the passes through this rank's layers, one after the other; the last pipeline stage has the messages.
  private func flow(_ passes: [Pass], in split: Split, _ finished: ([Tensor], Pass) throws -> Void) throws {
    let stage = communicator.rank
    var sending: [PendingOperation] = []
    for pass in passes {
      let batch = source(split).batch(pass.samples)
      try batch.requireWithin(model.bounds.ofInputs)
      let context = context()
      var x =
        stage == 0
        ? model.embed(batch, context) : Variable(constant: try receiveStates(rows: batch.tokenCount, from: stage - 1))
      x = model.advance(x, batch, context)
      if model.part.hasHead {
        try finished(finish(x, batch, pass, in: split, context), pass)
      } else {
        if sending.count >= TeacherGroup.ahead { try timed { try sending.removeFirst().wait() } }
        sending.append(try sendStates(x.value, to: stage + 1))
      }
      if let failure = failure ?? blocks.failure { throw failure }
    }
    try timed { try sending.waitAll() }
  }

  private func sendStates(_ x: Tensor, to stage: Int) throws -> PendingOperation {
    let x = precision == .bf16 && model.roundsStates ? x : x.converted(to: .float32)
    sentBytes += x.count * x.dtype.size
    let bytes = x.bytes.bindMemory(to: UInt8.self)
    return try communicator.iSend(bytes, to: stage, tag: TeacherGroup.stateTag, keeping: x.storage)
  }

  private func receiveStates(rows: Int, from stage: Int) throws -> Tensor {
    let isRounded = precision == .bf16 && model.roundsStates
    let x = Tensor.matrix(
      uninitializedRows: rows, columns: model.hiddenSize, isRounded ? .bfloat16 : .float32)
    let bytes = UnsafeMutableRawBufferPointer(mutating: x.bytes).bindMemory(to: UInt8.self)
    try timed { try communicator.receive(bytes, from: stage, tag: TeacherGroup.stateTag) }
    return x
  }
}

/// Passes on the boundaries of blocks, and lets MPI move messages there.
private final class GroupBlocks: TapeObserver {
  private let residency: (any TapeObserver)?
  var progress: () throws -> Void = {}
  private(set) var failure: (any Error)?

  init(_ residency: (any TapeObserver)?) { self.residency = residency }

  var releasesWeights: Bool { residency?.releasesWeights ?? false }

  func enter(_ block: Int, _ direction: PassDirection) {
    if failure == nil { do { try progress() } catch { failure = error } }
    residency?.enter(block, direction)
  }

  func leave(_ block: Int, _ direction: PassDirection) { residency?.leave(block, direction) }
}

/// Assembles answers from passes; a request may have rows in several passes.
private struct OpenAnswers {
  private let examples: [Int]
  private var pieces: [Tensor] = []
  /// The examples of the current request that are complete.
  private var done = 0

  init(_ requests: [[Int]]) { examples = requests.map(\.count) }

  /// Adds the messages of a pass, and delivers each request that they complete.
  mutating func add(_ messages: [Tensor], _ pass: TeacherGroup.Pass, _ deliver: (Int, Tensor) throws -> Void) throws {
    for (share, message) in zip(pass.shares, messages) {
      pieces.append(message)
      done += share.examples
      if done < examples[share.request] { continue }
      try deliver(share.request, OpenAnswers.joined(pieces))
      (pieces, done) = ([], 0)
    }
  }

  private static func joined(_ pieces: [Tensor]) -> Tensor {
    if pieces.count == 1 { return pieces[0] }
    let result = Tensor(uninitialized: [pieces.reduce(0) { $0 + $1.rows }, pieces[0].columns])
    var row = 0
    for piece in pieces {
      result.rows(row..<row + piece.rows).update(from: piece)
      row += piece.rows
    }
    return result
  }
}
