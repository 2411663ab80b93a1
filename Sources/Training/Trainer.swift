import Autograd
import Collectives
import Datasets
import Layers
import Models
import Objectives
import Optimizers
import Platform
import Teachers
import Tensors

/// Trains one student by data parallel steps over all ranks of a communicator.
///
/// A step: every rank takes its passes of the global batch, asks the teacher while the rows of embedding tables travel,
/// runs the student forward and backward while finished gradient buckets travel, then updates the weights it owns and
/// gets the others back.
public final class Trainer {
  /// The values that every step uses.
  public let configuration: TrainingConfiguration
  let student: any Model
  let flat: FlatParameters
  let communicator: any Communicator
  let tables: [TableExchange]
  let optimizer: AdamW
  private let teacher: (any Teacher)?
  private let train: any ExampleSource
  private let exchange: GradientExchange
  private let lengths: [Int32]
  private let weights = BF16Weights()
  /// The batch that the teacher was told of ahead of its step.
  private var announced: [Int]?
  /// Whether any rank has been asked to stop; all ranks know it after the same step.
  public private(set) var isStopRequested = false

  /// - Parameters:
  ///   - student: its weights get gradients, and move into one flat buffer but for its embedding tables.
  ///   - teacher: nil for plain fine-tuning.
  ///   - train: examples in the student's tokens.
  public init(
    _ configuration: TrainingConfiguration, student: any Model, teacher: (any Teacher)?, train: any ExampleSource,
    on communicator: any Communicator
  ) {
    self.configuration = configuration
    self.student = student
    self.teacher = teacher
    self.train = train
    self.communicator = communicator
    lengths = train.lengths
    let lookups = student.lookups
    tables = lookups.map { TableExchange($0, configuration.optimizer, communicator) }
    flat = FlatParameters(
      student.parameters.filter { parameter in !lookups.contains { $0.parameter === parameter } },
      ranks: communicator.size, bucketBytes: configuration.bucketBytes)
    exchange = GradientExchange(flat, tables, communicator)
    optimizer = AdamW(configuration.optimizer, segments: flat.segments(rank: communicator.rank))
  }

  /// Whether the teacher wants to know the batch behind the one in hand.
  public var teacherWorksAhead: Bool { teacher?.wantsAnnouncements ?? false }

  /// Weights of the teacher; 0 without one.
  public var teacherParameterCount: Int { teacher?.parameterCount ?? 0 }

  /// One optimizer step on a global batch.
  ///
  /// - Parameters:
  ///   - step: from 1.
  ///   - batch: indices into the training examples; all ranks pass the same.
  ///   - next: the batch of the step behind this one, for a teacher that works ahead; nil where there is none.
  ///   - epoch: epochs done after this step, for the record.
  /// Throws `.numerical`, on all ranks alike, when the gradient is not finite; the weights are untouched then.
  public func step(_ step: Int, batch: [Int], next: [Int]? = nil, epoch: Double) throws -> StepRecord {
    try Trace.step(step) { try take(step, batch: batch, next: next, epoch: epoch) }
  }

  private func take(_ step: Int, batch: [Int], next: [Int]?, epoch: Double) throws -> StepRecord {
    let clock = ContinuousClock()
    let start = clock.now
    var teacherTime = Duration.zero
    let passes = passes(of: batch)
    let requests = requests(passes, of: batch)
    try announce(requests, of: batch, next: next)
    let teacherStart = teacher?.computedFLOPs ?? 0
    try Trace.detail("send for rows") { try exchange.begin(tables.isEmpty ? Batch() : train.batch(batch)) }
    // Once a step and not after each change: a step cannot meet weights of before the last one, however they changed.
    weights.outdate()
    let rows = batch.reduce(0) { $0 + train.lossRows($1) }
    var sums = [0.0, 0.0]
    for (index, samples) in requests.enumerated() {
      let asked = clock.now
      let signals = try Trace.detail("teacher") { try teacher?.signals(for: samples, in: .train) }
      teacherTime += clock.now - asked
      if index == 0 { try receiveRows() }
      if samples.isEmpty { continue }
      let value = try pass(samples, signals, step: step, denominator: rows, isLast: index == passes.count - 1)
      sums[0] += value.crossEntropySum
      sums[1] += value.distillationSum
    }
    if requests.isEmpty { try receiveRows() }
    let squares = try Trace.detail("wait for gradients") { try exchange.finish() }
    let tokens = batch.reduce(0) { $0 + Int(lengths[$1]) }
    let stop = StopRequest.isPending ? 1.0 : 0
    let taught = (teacher?.computedFLOPs ?? 0) - teacherStart
    let terms = sums + [squares, stop, taught]
    let totals = try Trace.detail("wait for all ranks") {
      try exchange.timed(\.gradients) { try communicator.allReduce(terms, .sum) }
    }
    isStopRequested = totals[3] > 0
    let norm = totals[2].squareRoot()
    let (hard, soft) = (totals[0] / Double(rows), totals[1] / Double(rows))
    let loss = configuration.objective.total(crossEntropy: hard, distillation: soft)
    try refuseUnlessFinite(norm: norm, loss: loss, step: step)
    let rate = configuration.schedule.learningRate(step: step)
    let scale = Clipping.scale(norm: norm, limit: configuration.maximumGradientNorm)
    Trace.detail("optimizer") {
      optimizer.update(flat.values, gradients: flat.gradients, step: step, learningRate: rate, gradientScale: scale)
      for table in tables { table.update(step: step, learningRate: rate, gradientScale: scale) }
    }
    try Trace.detail("gather weights") { try exchange.gatherValues() }
    // A backward pass has two products for each of the forward pass.
    let learnt = 3 * student.forwardFLOPs(lengths: train.sequenceLengths(batch))
    return StepRecord(
      step: step, totalSteps: configuration.totalSteps, epoch: epoch, loss: loss, crossEntropy: hard,
      distillation: soft, learningRate: rate, gradientNorm: norm, tokens: tokens, examples: batch.count,
      lossRows: rows, seconds: (clock.now - start).seconds, teacherSeconds: teacherTime.seconds,
      flops: totals[4] + learnt, teacherFLOPs: taught, exchange: exchange.seconds)
  }

  private func receiveRows() throws { try Trace.detail("wait for rows") { try exchange.receiveRows() } }

  /// A rank's examples of a global batch (this rank's by default), cut into passes: by micro-batches, and those by
  /// tokens.
  private func passes(of batch: [Int], rank: Int? = nil) -> [[Int]] {
    let count = configuration.accumulation
    let parts = Sampler.partition(batch, lengths: lengths, parts: communicator.size * count)
    return (0..<count).flatMap {
      Sampler.passes(
        parts[$0 * communicator.size + (rank ?? communicator.rank)], lengths: lengths,
        tokens: configuration.passTokens)
    }
  }

  /// What this rank asks its teacher for: its passes, and nothing as often as it takes for equally many calls on all
  /// ranks, where the teacher wants that.
  private func requests(_ passes: [[Int]], of batch: [Int]) -> [[Int]] {
    guard let teacher, teacher.isCollective else { return passes }
    let most = (0..<communicator.size).map { self.passes(of: batch, rank: $0).count }.max() ?? 0
    return passes + Array(repeating: [], count: most - passes.count)
  }

  /// Tells a teacher that works ahead of this batch, unless it knows already, and of the next one.
  private func announce(_ requests: [[Int]], of batch: [Int], next: [Int]?) throws {
    guard let teacher, teacher.wantsAnnouncements else { return }
    if announced != batch { try teacher.announce(requests, in: .train) }
    announced = next
    if let next { try teacher.announce(self.requests(passes(of: next), of: next), in: .train) }
  }

  /// Forward and backward on one pass of this rank.
  private func pass(
    _ samples: [Int], _ signals: TeacherSignals?, step: Int, denominator: Int, isLast: Bool
  ) throws -> DistillationObjective.Value {
    let batch = Trace.detail("batch") { train.batch(samples) }
    let tape = Tape(recording: true, precision: configuration.precision, weights: weights)
    let context = ForwardContext(
      tape: tape,
      dropout: DropoutSource(
        seed: configuration.seed, step: step, samples: batch.samples,
        override: configuration.dropout.map { Float($0) }),
      checkpoints: configuration.activationCheckpointing ? student.layerBlocks : 0..<0)
    let value = Trace.detail("forward") {
      configuration.objective.value(
        of: student, batch, signals: signals, denominator: Double(denominator), context)
    }
    try Trace.detail("backward") {
      _ = try tape.backward(
        from: value.loss,
        onParameterReady: { if isLast { try exchange.complete($0) } },
        afterOperation: { try exchange.poll() })
    }
    return value
  }

  /// Lets every rank read the teacher signals that any of them has computed; collective, at the end of an epoch.
  ///
  /// - Returns: what the user should know of how they are kept, on rank 0.
  public func shareSignals() throws -> [String] {
    guard let teacher else { return [] }
    teacher.publishSignals()
    // Whoever has the remarks of all knows that all have published.
    let remarks = try communicator.allGather(text: teacher.takeRemark() ?? "")
    teacher.collectSignals()
    return remarks.reduce(into: []) { if !$1.isEmpty, !$0.contains($1) { $0.append($1) } }
  }

  /// All ranks have the same sums, so all throw or none.
  private func refuseUnlessFinite(norm: Double, loss: Double, step: Int) throws {
    if norm.isFinite && loss.isFinite { return }
    var error = RetortError(
      .numerical, "loss \(loss), gradient norm \(norm)", at: "optimizer step \(step)",
      remedy: "lower learning_rate, or set optimizer.max_grad_norm and warmup_steps")
    error.isCollective = true
    throw error
  }

  /// Brings all of the student's weights up to date on this rank, for whoever reads them; collective.
  ///
  /// Between steps a rank lacks the newest rows of embedding tables, which steps ask for as they need them.
  public func settle() throws {
    for table in tables { try table.settle() }
  }

  /// The student's metrics on a split; collective.
  public func evaluate(_ data: any ExampleSource) throws -> EvaluationResult {
    try settle()
    weights.outdate()
    return try Trace.span("evaluation") {
      if let student = student as? any LanguageModel {
        return try Evaluator.evaluate(documents: data, on: communicator) {
          student.crossEntropySum(data.batch($0), precision: configuration.precision, weights: weights)
        }
      }
      return try classify(data)
    }
  }

  private func classify(_ data: any ExampleSource) throws -> EvaluationResult {
    try Evaluator.evaluate(data, classCount: student.classCount, on: communicator) {
      student.logits(data.batch($0), precision: configuration.precision, weights: weights)
    }
  }
}
