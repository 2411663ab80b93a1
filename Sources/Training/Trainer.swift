import Autograd
import Collectives
import Datasets
import Layers
import Models
import Objectives
import Optimizers
import Platform
import Safetensors
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
  ///   - fill: fills a weight of a student whose weights are not there yet; called for one after the other, so that of
  ///     weights that ranks share out no rank ever has all.
  public init(
    _ configuration: TrainingConfiguration, student: any Model, teacher: (any Teacher)?, train: any ExampleSource,
    fill: (Parameter) -> Void = { _ in }, on communicator: any Communicator
  ) {
    self.configuration = configuration
    self.student = student
    self.teacher = teacher
    self.train = train
    self.communicator = communicator
    lengths = train.lengths
    let lookups = student.lookups
    tables = lookups.map {
      TableExchange(
        $0, configuration.optimizer, sharesRows: configuration.sharding == .parameters, fill: fill, communicator)
    }
    flat = FlatParameters(
      student.parameters.filter { parameter in !lookups.contains { $0.parameter === parameter } },
      ranks: communicator.size, rank: communicator.rank, bucketBytes: configuration.bucketBytes,
      sharding: configuration.sharding, blocks: student.blocks, fill: fill)
    exchange = GradientExchange(flat, tables, blocks: student.blocks, copies: weights, communicator)
    optimizer = AdamW(configuration.optimizer, segments: flat.segments(of: flat.updated))
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
    letGo()
    // Where all ranks read the whole batch, all refuse it alike.
    let all = tables.isEmpty ? Batch() : train.batch(batch)
    do { try all.requireWithin(student.bounds) } catch {
      var refusal = RetortError.wrap(error).located("optimizer step \(step)")
      refusal.isCollective = true
      throw refusal
    }
    let passes = passes(of: batch)
    let requests = requests(passes, of: batch)
    try announce(requests, of: batch, next: next)
    // Where gradients are shared out all ranks take part in as many passes, and in one at least.
    let rounds = configuration.sharding.sharesGradients ? max(1, mostPasses(of: batch)) : requests.count
    let teacherStart = teacher?.computedFLOPs ?? 0
    let sentBefore = Traffic.sentBytes
    try Trace.detail("send for rows") { try exchange.begin(all) }
    // Once a step and not after each change: a step cannot meet weights of before the last one, however they changed.
    weights.outdate()
    let rows = batch.reduce(0) { $0 + train.lossRows($1) }
    var sums = [0.0, 0.0]
    for index in 0..<rounds {
      let samples = index < passes.count ? passes[index] : []
      let asked = clock.now
      let signals =
        index < requests.count
        ? try Trace.detail("teacher") { try teacher?.signals(for: samples, in: .train) } : nil
      teacherTime += clock.now - asked
      if index == 0 { try receiveRows() } else { exchange.beginPass() }
      if !samples.isEmpty {
        let value = try pass(samples, signals, step: step, denominator: rows, isLast: index == passes.count - 1)
        sums[0] += value.crossEntropySum
        sums[1] += value.distillationSum
      }
      try exchange.endPass()
    }
    if rounds == 0 { try receiveRows() }
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
      flops: totals[4] + learnt, teacherFLOPs: taught, exchange: exchange.seconds,
      sentBytes: Traffic.sentBytes.merging(sentBefore) { $0 - $1 })
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

  /// The passes of the rank that has the most of them.
  private func mostPasses(of batch: [Int]) -> Int {
    (0..<communicator.size).reduce(0) { max($0, passes(of: batch, rank: $1).count) }
  }

  /// What this rank asks its teacher for: its passes, and nothing as often as it takes for equally many calls on all
  /// ranks, where the teacher wants that.
  private func requests(_ passes: [[Int]], of batch: [Int]) -> [[Int]] {
    guard let teacher, teacher.isCollective else { return passes }
    return passes + Array(repeating: [], count: mostPasses(of: batch) - passes.count)
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
    let batch = try Trace.detail("batch") { try checked(train.batch(samples)) }
    let tape = Tape(
      recording: true, precision: configuration.precision, weights: weights, residency: exchange.residency,
      onGradientNeeded: exchange.need)
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
        onParameterReady: { try exchange.complete($0, isLastPass: isLast) },
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
  /// Between steps a rank lacks the newest rows of embedding tables, which steps ask for as they need them. Where
  /// weights are shared out this takes memory for all of them, until the next step or evaluation; `writeWeights` does
  /// not.
  public func settle() throws {
    for table in tables { try table.hold() }
    try exchange.residency?.holdAll()
  }

  /// Calls `body` with a function that brings one weight into memory, up to date and whole, until it brings the next;
  /// both are collective.
  func withWeights<T>(_ body: (_ bring: @escaping (Parameter) throws -> Void) throws -> T) throws -> T {
    letGo()
    for table in tables { try table.settle() }
    defer { letGo() }
    return try body { [tables, exchange] parameter in
      for table in tables { if table.parameter === parameter { try table.hold() } else { table.letGo() } }
      try exchange.residency?.hold(parameter)
    }
  }

  /// Takes the part of a stored weight that this rank keeps.
  func restore(_ binding: WeightBinding, from stored: StoredTensor) {
    guard configuration.sharding == .parameters, let parameter = binding.parameter else {
      return stored.copyFloats(into: binding.tensor.floats)
    }
    if let table = tables.first(where: { $0.parameter === parameter }) { return table.restore(weights: stored) }
    guard let index = flat.parameters.firstIndex(where: { $0 === parameter }) else { return }
    for (elements, shard) in flat.ownedParts(of: index) {
      let part = elements.clamped(to: binding.elements)
      if part.isEmpty { continue }
      let first = binding.elements.lowerBound
      stored.copyFloats(
        into: flat.values.floats + shard + part.lowerBound - elements.lowerBound,
        range: part.lowerBound - first..<part.upperBound - first)
    }
  }

  /// Bytes of the student that this rank keeps between steps.
  public var memory: StudentMemory {
    let rows = tables.map(\.keptElements).reduce(0, +)
    let moments = 2 * (optimizer.firstMoments.count + tables.reduce(0) { $0 + $1.optimizer.firstMoments.count })
    return StudentMemory(
      weights: 4 * (flat.values.count + rows), gradients: 4 * flat.gradients.count, moments: 4 * moments)
  }

  /// The most bytes that whole buckets of weights and of gradients took at one time, besides what is kept.
  public var peakTransientBytes: Int {
    (exchange.residency?.peakBytes ?? 0) + (exchange.shards?.peakBytes ?? 0)
  }

  /// Where weights are shared out, lets go what somebody has looked at.
  private func letGo() {
    for table in tables { table.letGo() }
    exchange.residency?.letGo()
  }

  /// The student's metrics on a split; collective.
  ///
  /// Where weights are shared out, embedding tables are whole on every rank meanwhile.
  public func evaluate(_ data: any ExampleSource) throws -> EvaluationResult {
    letGo()
    for table in tables { try table.hold() }
    defer { letGo() }
    weights.outdate()
    return try Trace.span("evaluation") {
      if let student = student as? any LanguageModel {
        return try Evaluator.evaluate(documents: data, on: communicator) { samples in
          try throughBlocks {
            try student.crossEntropySum(
              checked(data.batch(samples)), precision: configuration.precision, weights: weights,
              residency: exchange.residency)
          }
        } idle: {
          try throughBlocks {}
        }
      }
      return try classify(data)
    }
  }

  private func classify(_ data: any ExampleSource) throws -> EvaluationResult {
    try Evaluator.evaluate(data, classCount: student.classCount, on: communicator) { samples in
      try throughBlocks {
        try student.logits(
          checked(data.batch(samples)), precision: configuration.precision, weights: weights,
          residency: exchange.residency)
      }
    } idle: {
      try throughBlocks {}
    }
  }

  /// A batch whose numbers are all inside the student's tables; throws `.input` for another.
  private func checked(_ batch: Batch) throws -> Batch {
    try batch.requireWithin(student.bounds)
    return batch
  }

  /// A forward pass, or a rank's part in those of others: where weights are shared out all ranks have equally many.
  private func throughBlocks<T>(_ pass: () throws -> T) throws -> T {
    exchange.residency?.begin(trains: false)
    let result = try pass()
    try exchange.residency?.end()
    return result
  }
}
