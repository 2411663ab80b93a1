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

/// Trains one student with data-parallel steps over all ranks of a communicator.
///
/// In each step, every rank takes its passes of the global batch, requests teacher signals during the exchange of
/// embedding rows, runs the student forward and backward during the exchange of finished gradient buckets, then updates
/// the weights it owns and receives the others.
package final class Trainer {
  /// The training stages, in order.
  package let stages: [TrainingStage]
  /// The index of the current stage.
  package private(set) var stage = 0
  let student: any Model
  let flat: FlatParameters
  let communicator: any Communicator
  /// The ranks as nodes, which determines the blocks of weights that each rank updates.
  let grid: RankGrid
  /// Why ranks of a node exchange messages instead of sharing memory; nil if they share it or need not.
  package let exchangeRemark: String?
  let tables: [TableExchange]
  var optimizer: AdamW
  let teachers: [any Teacher]
  let train: any ExampleSource
  let exchange: GradientExchange
  let lengths: [Int32]
  let weights = BF16Weights()
  /// The weights that are trained with the student but are not part of it.
  let projections: [Parameter]
  /// The batch announced to the teachers ahead of its step.
  var announced: [Int]?
  /// Whether any rank has been asked to stop; all ranks learn it after the same step.
  package private(set) var isStopRequested = false

  /// The values that every step of the current stage uses.
  package var configuration: TrainingConfiguration { stages[stage].configuration }

  /// - Parameters:
  ///   - stages: at least one; number format, bucket size and sharding are those of the first.
  ///   - student: its weights get gradients and move into one flat buffer, except the embedding tables.
  ///   - teachers: in the order of the stages' objectives; empty for plain fine-tuning.
  ///   - train: examples in the student's tokens.
  ///   - fill: fills a weight of a student without loaded weights; called for one weight after the other, so that no
  ///     rank ever holds all weights when they are sharded.
  package init(
    _ stages: [TrainingStage], student: any Model, teachers: [any Teacher], train: any ExampleSource,
    fill: (Parameter) -> Void = { _ in }, on communicator: any Communicator
  ) throws {
    precondition(!stages.isEmpty, "a run without training stages")
    self.stages = stages
    self.student = student
    self.teachers = teachers
    self.train = train
    self.communicator = communicator
    lengths = train.lengths
    let configuration = stages[0].configuration
    let staged = student as? any StagedModel
    let extra = stages.flatMap(\.inner).flatMap(\.parameters).map { point, parameters in
      (block: staged?.block(of: point) ?? 0, parameters: parameters)
    }
    projections = extra.map(\.parameters).unique
    let weights = weights
    func make(sharing most: Int?) throws -> (ExchangeWork, GradientExchange) {
      let grid = try RankGrid(of: communicator, sharing: most, threads: ThreadTeam.size)
      let work = try Trainer.exchangeWork(configuration, student, extra, weights, fill, on: grid)
      let strategy = configuration.sharding.strategy
      return (work, try GradientExchange(strategy, work, precision: configuration.precision))
    }
    let work: ExchangeWork
    do {
      (work, exchange) = try make(sharing: configuration.exchange.nodeRanks)
      exchangeRemark = work.grid.remark
    } catch is StudentBuffers.NotShared {
      // Thrown on all ranks alike.
      (work, exchange) = try make(sharing: 1)
      exchangeRemark = "ranks of a node cannot map the student's memory together"
    }
    (grid, flat, tables) = (work.grid, work.flat, work.tables)
    optimizer = AdamW(configuration.optimizer, segments: flat.updatedSegments)
  }

  /// The student's memory on a grid of ranks. Throws `StudentBuffers.NotShared`.
  private static func exchangeWork(
    _ configuration: TrainingConfiguration, _ student: any Model, _ extra: [(block: Int, parameters: [Parameter])],
    _ copies: BF16Weights, _ fill: (Parameter) -> Void, on grid: RankGrid
  ) throws -> ExchangeWork {
    let parts = configuration.sharding.strategy.parts
    let buffers = StudentBuffers(grid)
    let sums = try RegionSums(buffers, configuration.exchange.gradients)
    let lookups = student.lookups
    let tables = try lookups.map {
      try TableExchange(
        $0, configuration.optimizer, sharesRows: parts.weights == .owned, fill: fill, in: buffers, sums)
    }
    let blocks = student.blocks(with: extra)
    let projections = extra.map(\.parameters).unique
    let flat = try FlatParameters(
      (extra.isEmpty ? student.parameters : blocks.unique).filter { parameter in
        !lookups.contains { $0.parameter === parameter }
      },
      ranks: grid.size, rank: grid.place, bucketBytes: configuration.bucketBytes, parts: parts, blocks: blocks,
      in: buffers,
      fill: { parameter in if !projections.contains(where: { $0 === parameter }) { fill(parameter) } })
    return ExchangeWork(
      grid: grid, buffers: buffers, sums: sums, flat: flat, tables: tables, blocks: blocks, copies: copies,
      options: configuration.exchange, times: ExchangeTimes())
  }

  /// Creates a run of one stage with an objective on logits only, with one teacher or none.
  package convenience init(
    _ configuration: TrainingConfiguration, student: any Model, teacher: (any Teacher)?, train: any ExampleSource,
    fill: (Parameter) -> Void = { _ in }, on communicator: any Communicator
  ) throws {
    var configuration = configuration
    if teacher == nil { configuration.objective.teachers = [] }
    try self.init(
      [TrainingStage(onLogits: configuration)], student: student, teachers: teacher.map { [$0] } ?? [], train: train,
      fill: fill, on: communicator)
  }

  /// Starts a stage after the first one with zero moments and step number 1; collective.
  func begin(stage: Int) throws {
    // A stage that ends early leaves a batch that was announced and not requested.
    try forgetAnnounced()
    self.stage = stage
    for table in tables { try table.settle() }
    optimizer.restart(configuration.optimizer)
    for table in tables { table.optimizer.restart(configuration.optimizer) }
  }

  /// Prepares for the weights and moments of a checkpoint in this stage, also after optimizer steps; collective.
  func resume(stage: Int) throws {
    release()
    try exchange.refresh()
    // Afterwards no update of this process is still on its way.
    if let first = flat.parameters.first { try exchange.strategy.hold(first) }
    release()
    try begin(stage: stage)
  }

  /// Runs one optimizer step on a global batch.
  ///
  /// - Parameters:
  ///   - step: the number in the stage, from 1.
  ///   - done: optimizer steps of the earlier stages.
  ///   - batch: indices into the training examples, equal on all ranks.
  ///   - next: the batch of the next step, for teachers that compute ahead; nil after the last.
  ///   - epoch: epochs done after this step, for the record.
  /// Throws `.numerical` on all ranks if the gradient or the loss is not finite; the weights are then unchanged.
  package func step(_ step: Int, after done: Int = 0, batch: [Int], next: [Int]? = nil, epoch: Double) throws
    -> StepRecord
  {
    let record = try attempt(step, after: done, batch: batch, next: next, epoch: epoch)
    if let fault = record.fault { throw fault.error(step: record.step) }
    return record
  }

  /// Runs one optimizer step as `step` does; if the gradient or the loss is not finite, the record has a fault, and
  /// weights and moments are as if the batch had not been.
  ///
  /// - Parameter leftOut: earlier steps of the stage without an update; schedules, moments and dropout do not count
  ///   them.
  func attempt(
    _ step: Int, after done: Int = 0, leftOut: Int = 0, batch: [Int], next: [Int]? = nil, epoch: Double
  ) throws -> StepRecord {
    try Trace.step(done + step) {
      try take(step - leftOut, done, number: done + step, batch: batch, next: next, epoch: epoch)
    }
  }

  /// Takes update `step` of the stage, in the run's step `number`; the stage begins after `before`.
  private func take(
    _ step: Int, _ before: Int, number: Int, batch: [Int], next: [Int]?, epoch: Double
  ) throws -> StepRecord {
    let clock = ContinuousClock()
    let start = clock.now
    release()
    // If all ranks read the whole batch, all refuse it alike.
    let all = tables.isEmpty ? Batch() : train.batch(batch)
    do { try all.requireWithin(student.bounds) } catch {
      var refusal = RetortError.wrap(error).located("optimizer step \(number)")
      refusal.isCollective = true
      throw refusal
    }
    let passes = passes(of: batch)
    var questions = Questions(self, passes, of: batch)
    try announce(of: batch, next: next)
    // With sharded gradients all ranks take part in equally many passes, and in at least one.
    let most = mostPasses(of: batch)
    let rounds = exchange.strategy.sendsEveryPass ? max(1, most) : max(passes.count, questions.rounds)
    let sentBefore = Traffic.sentBytes
    try Trace.detail("send for rows") { try exchange.begin(all) }
    let lengths = train.sequenceLengths(batch)
    let loss = stepLoss(step, batch, lengths)
    var own = StepTotals(terms: loss.weights.count)
    func ask(_ index: Int) throws -> [TeacherSignals?] {
      try Trace.detail("teacher") { try questions.ask(index, index < passes.count ? passes[index] : []) }
    }
    let whole = try comparedBatch(passes, of: batch, loss, step: before + step, rounds: rounds, ask: ask)
    for index in 0..<rounds {
      let signals = try whole?.signals[index] ?? ask(index)
      if index == 0, whole == nil { try receiveRows() }
      exchange.strategy.beginPass(isLast: index == passes.count - 1)
      if index < passes.count {
        own.add(try pass(passes[index], signals, whole?.vectors[index] ?? [:], loss, step: before + step))
      }
      try exchange.strategy.endPass()
    }
    if rounds == 0, whole == nil { try receiveRows() }
    own.squaredGradient = try Trace.detail("wait for gradients") { try exchange.finish() }
    own.stopRequests = StopRequest.isPending ? 1 : 0
    own.teacherFLOPs = questions.flops
    let totals = try Trace.detail("wait for all ranks") {
      try exchange.timed(\.gradients) { try own.summed(on: grid) }
    }
    isStopRequested = totals.stopRequests > 0
    let norm = totals.squaredGradient.squareRoot()
    let means = loss.objective.means(of: totals.terms, counts: loss.counts, loss.inner)
    let total = loss.total(means)
    // All ranks have the same sums, so all skip the update or none.
    let fault = NumericalFault(
      loss: total, gradientNorm: norm, terms: zip(loss.objective.activeTerms, means).map { ($0.name, $1) })
    if fault != nil { exchange.discard() }
    let rate = fault == nil ? try update(step, norm: norm) : 0
    // A backward pass has two products for each product of the forward pass.
    let learnt = 3 * student.forwardFLOPs(lengths: lengths)
    let (hard, soft) = loss.objective.hardAndSoft(means)
    let isUnlabelled = loss.counts.labelled == 0
    return StepRecord(
      step: number, totalSteps: before + stepsFromHere, stage: stages[stage].name, epoch: epoch,
      loss: total,
      terms: zip(loss.objective.activeTerms, means).map { term, mean in
        StepRecord.Term(name: term.name, value: term.readsTargets && isUnlabelled ? nil : mean)
      },
      crossEntropy: hard,
      distillation: soft, learningRate: rate, gradientNorm: norm,
      tokens: batch.reduce(0) { $0 + Int(self.lengths[$1]) }, examples: batch.count, lossRows: loss.counts.rows,
      seconds: (clock.now - start).seconds, teacherSeconds: questions.seconds, flops: totals.teacherFLOPs + learnt,
      teacherFLOPs: own.teacherFLOPs, exchange: exchange.seconds,
      sentBytes: Traffic.sentBytes.merging(sentBefore) { $0 - $1 }, fault: fault)
  }

  /// Optimizer steps of the current stage and all later ones.
  private var stepsFromHere: Int { stages[stage...].reduce(0) { $0 + $1.configuration.totalSteps } }

  func receiveRows() throws { try Trace.detail("wait for rows") { try exchange.receiveRows() } }

  /// The loss of an optimizer step on a global batch.
  private func stepLoss(_ step: Int, _ batch: [Int], _ lengths: [Int]) -> StepLoss {
    let rows = batch.reduce(0) { $0 + train.lossRows($1) }
    let labelled = batch.reduce(0) { $0 + train.labelledRows($1) }
    let isCausal = (student as? any StagedModel)?.shape.isCausal ?? false
    return StepLoss(
      configuration.objective, stages[stage].inner, step: step, of: configuration.totalSteps,
      counts: StepCounts(rows: rows, labelled: labelled, lengths: lengths, isCausal: isCausal))
  }

  /// Updates the weights with the gradients of the step; returns the learning rate.
  private func update(_ step: Int, norm: Double) throws -> Double {
    let rate = configuration.schedule.learningRate(step: step)
    let scale = Clipping.scale(norm: norm, limit: configuration.maximumGradientNorm)
    try Trace.detail("optimizer") {
      for table in tables { table.update(step: step, learningRate: rate, gradientScale: scale) }
      try exchange.strategy.update(
        WeightUpdate(optimizer: optimizer, step: step, learningRate: rate, gradientScale: scale))
    }
    return rate
  }

  /// Runs forward and backward on one pass of this rank; returns the sums of the terms.
  private func pass(
    _ samples: [Int], _ signals: [TeacherSignals?], _ whole: [Int: BatchVectors], _ loss: StepLoss, step: Int
  ) throws -> [Double] {
    let batch = try Trace.detail("batch") { try checked(train.batch(samples)) }
    let tape = Tape(
      recording: true, precision: configuration.precision, weights: weights, observer: exchange.strategy)
    let observer = loss.observer(batch, signals, whole)
    let context = ForwardContext(
      tape: tape, dropout: dropout(of: batch, step: step), observer: observer,
      checkpoints: configuration.activationCheckpointing ? student.layerBlocks : 0..<0)
    let sums = Trace.detail("forward") { loss.add(of: student, batch, signals, observer, context) }
    try Trace.detail("backward") { _ = try tape.observedBackward() }
    return sums
  }

  /// The random numbers of a pass of an optimizer step.
  func dropout(of batch: Batch, step: Int) -> DropoutSource {
    DropoutSource(
      seed: configuration.seed, step: step, samples: batch.samples, override: configuration.dropout.map { Float($0) })
  }

  /// The batch, if all its ids are within the student's bounds; throws `.input` otherwise.
  func checked(_ batch: Batch) throws -> Batch {
    try batch.requireWithin(student.bounds)
    return batch
  }
}
