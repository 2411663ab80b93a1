import Collectives
import Datasets
import Models
import Platform
import Teachers

/// The result of a finished training run.
package struct TrainingResult: Sendable, Equatable {
  /// The best evaluation of the last stage, whose weights the student's directory holds.
  package let best: EvaluationRecord
  /// The result of each training stage; empty if there is only one.
  package let stages: [StageResult]
  /// The number of optimizer steps, also those before a resumption.
  package let steps: Int
  /// The optimizer steps that took no update, since their loss or gradient was not finite or they were left out.
  package let leftOut: [Int]
  /// Seconds of this process, evaluations included.
  package let seconds: Double
  /// Examples per second during the optimizer steps of this process, on all ranks together.
  package let examplesPerSecond: Double
  /// Tokens per second likewise; for rows of numbers, rows per second.
  package let tokensPerSecond: Double
  /// Useful arithmetic during the optimizer steps of this process, on all ranks together, 10⁹ operations per second.
  package let gigaflops: Double
  /// The step from which training resumed; 0 for a run from the start.
  package let continuedFrom: Int
  /// Bytes that rank 0 sent per optimizer step, the mean over the steps of this process.
  package let sentBytes: [Traffic.Purpose: Int]
  /// The largest peak memory of a rank in bytes; 0 if the system does not report it.
  package let peakMemory: Int
}

/// The result of one of several training stages.
package struct StageResult: Sendable, Equatable {
  /// The stage's name.
  package let name: String
  /// Its optimizer steps.
  package let steps: Int
  /// Its best evaluation.
  package let best: EvaluationRecord

  /// The record in step.json.
  package var json: JSON {
    var members: [String: JSON] = [
      "name": .string(name), "steps": .int(steps), "metric": .string(best.metric.rawValue),
      "best_step": .int(best.step),
    ]
    if best.result.count > 0 { members["value"] = .double(best.value) }
    return .object(members)
  }
}

/// The loop over training stages, epochs and steps: logs, evaluates, keeps the best student, saves, stops early,
/// resumes.
///
/// A stage starts with the weights of the previous stage's last step; the student is the best of the last stage.
///
///     output/training/metrics.jsonl            one line per logged step and evaluation
///     output/training/checkpoints/best/        weights of the best evaluation so far
///     output/training/checkpoints/step-N/      everything to resume after step N, renamed into place when complete
package final class TrainingRun {
  let trainer: Trainer
  private let validation: any ExampleSource
  let train: any ExampleSource
  var sampler: Sampler
  let store: CheckpointStore
  let observer: any TrainingObserver
  let communicator: any Communicator
  var state: TrainingState
  var log: MetricsLog?
  let fence: (any WriteFence)?
  /// `output/training`.
  let directory: String
  /// How many of the store's remarks the observer has.
  private var notesSaid = 0
  /// Whether this process has warned about a skipped step.
  var hasWarned = false
  var configuration: TrainingConfiguration { trainer.configuration }

  /// Loads the newest valid checkpoint of the same plan, if there is one; collective.
  ///
  /// - Parameters:
  ///   - planDigest: the digest of everything that determines the result; checkpoints of other plans are not resumed.
  ///   - directory: the chain step's output directory.
  ///   - fence: checked before anything there is renamed, replaced or removed.
  package init(
    _ trainer: Trainer, train: any ExampleSource, validation: any ExampleSource, planDigest: String,
    directory: String, fence: (any WriteFence)? = nil, observer: any TrainingObserver,
    on communicator: any Communicator
  ) throws {
    self.directory = joinPath(directory, "training")
    self.trainer = trainer
    self.validation = validation
    self.observer = observer
    self.communicator = communicator
    self.train = train
    self.fence = fence
    let configuration = trainer.configuration
    let store = CheckpointStore(
      self.directory, planDigest: planDigest, keep: configuration.saveTotalLimit, fence: fence, on: communicator)
    self.store = store
    let (state, lines) = try store.restore(into: trainer)
    self.state = state
    sampler = TrainingRun.sampler(of: train, trainer.configuration)
    sayNotes()
    let training = self.directory
    log = try communicator.agree {
      guard communicator.isFirst else { return nil }
      try makeDirectory(training)
      return try MetricsLog(inDirectory: training, continuing: state.step > 0, lines: lines, fence: fence)
    }
    if state.step > 0, lines == nil, communicator.isFirst {
      observer.note("metrics.jsonl begins after step \(state.step): its earlier lines are lost")
    }
    if state.step > 0 { observer.note("resuming after step \(state.step) of \(totalSteps)") }
  }

  static func sampler(of train: any ExampleSource, _ configuration: TrainingConfiguration) -> Sampler {
    Sampler(
      lengths: train.lengths, batchSize: configuration.batchSize, shuffle: configuration.shuffle,
      groupByLength: configuration.groupByLength, seed: configuration.seed)
  }

  /// The optimizer steps of all training stages, if no later one ends early.
  var totalSteps: Int {
    state.stageStart + trainer.stages[state.stage...].reduce(0) { $0 + $1.configuration.totalSteps }
  }
  /// The completed optimizer steps of the current training stage.
  private var stageStep: Int { state.step - state.stageStart }
  private var isStageDone: Bool { stageStep == configuration.totalSteps || state.isStopped }
  private var isLastStage: Bool { state.stage == trainer.stages.count - 1 }

  /// Trains to the end; the best weights are in `verifiedBestWeights` afterwards.
  package func run() throws -> TrainingResult {
    Trace.beginTraining()
    // If training ends early, wait for a save in progress.
    defer { store.awaitSaving() }
    Faults.isTraining = true
    let clock = ContinuousClock()
    let (start, first) = (clock.now, state.step)
    var (stepSeconds, flops) = (0.0, 0.0)
    var sentBytes: [Traffic.Purpose: Int] = [:]
    var (examples, tokens) = (0, 0)
    var batches: [[Int]] = []
    while !isStageDone {
      let perEpoch = sampler.stepsPerEpoch
      let (epoch, place) = (stageStep / perEpoch, stageStep % perEpoch)
      if batches.isEmpty || place == 0 { batches = sampler.batches(epoch: epoch) }
      let done = Double(stageStep + 1) / Double(perEpoch)
      if state.leftOut.contains(state.step + 1) {
        state.step += 1
      } else {
        let record = try trainer.attempt(
          stageStep + 1, after: state.stageStart, leftOut: state.leftOutOfStage, batch: batches[place],
          next: batch(after: place, of: batches, epoch: epoch), epoch: done)
        state.complete(record)
        stepSeconds += record.seconds
        examples += record.examples
        tokens += record.tokens
        flops += record.flops
        sentBytes.merge(record.sentBytes, uniquingKeysWith: +)
        try report(record)
        if let fault = record.fault, state.skippedInARow > configuration.maximumSkippedSteps {
          try goBack(fault.text)
          batches = []
          continue
        }
      }
      let evaluates = isEvaluationDue(place: place, perEpoch: perEpoch)
      if evaluates {
        let result = try evaluate(epoch: done)
        if isStageDone, result.count > 0, result.measuresLoss, !result.loss.isFinite {
          try goBack("the loss of the evaluation is \(result.loss)")
          batches = []
          continue
        }
      }
      if place == perEpoch - 1 { try shareSignals() }
      if isStageDone, !isLastStage {
        try beginNextStage()
        batches = []
      }
      let isLast = isStageDone
      let isSaveDue = configuration.saveSteps.map { state.step % $0 == 0 } ?? false
      let stops = trainer.isStopRequested && !isLast
      // After a skipped step the weights may be at fault, and the checkpoint before them has to stay.
      let isSound = state.skippedInARow == 0
      if (isSound && (evaluates || isSaveDue) || stops) && !isLast {
        try Trace.span("checkpoint") { try store.save(state, of: trainer, log: log) }
        sayNotes()
      }
      if stops {
        try store.finishSaving()
        throw stopped()
      }
    }
    try shareSignals()
    try store.finishSaving()
    guard let best = state.best else {
      throw RetortError(.unexpected, "training ended without an evaluation")
    }
    noteLeftOut()
    return TrainingResult(
      best: best, stages: state.stages + (trainer.stages.count > 1 ? [stageResult(best)] : []), steps: state.step,
      leftOut: state.leftOut, seconds: (clock.now - start).seconds,
      examplesPerSecond: stepSeconds > 0 ? Double(examples) / stepSeconds : 0,
      tokensPerSecond: stepSeconds > 0 ? Double(tokens) / stepSeconds : 0,
      gigaflops: stepSeconds > 0 ? flops / stepSeconds * 1e-9 : 0, continuedFrom: first,
      sentBytes: sentBytes.mapValues { $0 / max(1, state.step - first) },
      peakMemory: try communicator.allReduce(ProcessMemory.peakBytes ?? 0, .max))
  }

  /// Ends a training stage; the next one starts with the current weights.
  private func beginNextStage() throws {
    guard let best = state.best else { throw RetortError(.unexpected, "a stage ended without an evaluation") }
    try store.finishSaving()
    let result = stageResult(best)
    state.beginStage(after: result)
    try trainer.begin(stage: state.stage)
    sampler = TrainingRun.sampler(of: train, configuration)
    let name = trainer.stages[state.stage].name ?? ""
    observer.note("stage \(result.name) is done after \(grouped(result.steps)) optimizer steps; stage \(name) begins")
  }

  private func stageResult(_ best: EvaluationRecord) -> StageResult {
    StageResult(name: trainer.stages[state.stage].name ?? "", steps: stageStep, best: best)
  }

  /// The batch of the step after `place` that is not left out, for a teacher that works ahead; nil after the last step
  /// of a training stage.
  private func batch(after place: Int, of batches: [[Int]], epoch: Int) -> [Int]? {
    guard trainer.teacherWorksAhead else { return nil }
    var next = stageStep + 1
    while state.leftOut.contains(state.stageStart + next + 1) { next += 1 }
    guard next < configuration.totalSteps else { return nil }
    let (nextEpoch, nextPlace) = next.quotientAndRemainder(dividingBy: sampler.stepsPerEpoch)
    return (nextEpoch == epoch ? batches : sampler.batches(epoch: nextEpoch))[nextPlace]
  }

  /// The file with the weights of the best evaluation, after a check of its checksum; rank 0 only.
  ///
  /// Throws `.checkpoint` if it is damaged or belongs to another run.
  package func verifiedBestWeights() throws -> String {
    guard let best = state.best else { throw RetortError(.unexpected, "no evaluation has been made") }
    return try store.verifiedBest(after: best.step)
  }

  /// Removes the checkpoints of all plans after the student is committed; acts on rank 0 only.
  ///
  /// Throws `.checkpoint` if another job holds the directory now.
  package func removeCheckpoints() throws {
    try store.removeAll()
    if communicator.isFirst { MetricsLog.removePrevious(inDirectory: directory) }
  }

  /// The error that ends a run on request; all ranks throw it after the same step.
  private func stopped() -> RetortError {
    var error = RetortError(
      .stopped, "stopped on request after step \(state.step) of \(totalSteps), which is saved",
      remedy: "run the same command again to resume")
    error.isCollective = true
    return error
  }

  private func isEvaluationDue(place: Int, perEpoch: Int) -> Bool {
    if stageStep == configuration.totalSteps { return true }
    switch configuration.evaluation {
    case .epoch: return place == perEpoch - 1
    case .steps(let interval): return stageStep % interval == 0
    }
  }

  /// Reports the remarks of the store that are new.
  func sayNotes() {
    store.notes.dropFirst(notesSaid).forEach(observer.note)
    notesSaid = store.notes.count
  }

  private func shareSignals() throws { try trainer.shareSignals().forEach(observer.note) }

  private func report(_ record: StepRecord) throws {
    let isDue = record.step % configuration.loggingSteps == 0 || stageStep == configuration.totalSteps
    warnOnce(of: record)
    if isDue || record.fault != nil { try writeLine(record.json) }
    observer.trained(record)
  }

  private func evaluate(epoch: Double) throws -> EvaluationResult {
    let clock = ContinuousClock()
    let start = clock.now
    let result = try trainer.evaluate(validation)
    let value = result.value(configuration.metric)
    // Without labels nothing tells which student is better: the last one is the best.
    let isBest = result.count == 0 || state.best.map { configuration.metric.isBetter(value, than: $0.value) } ?? true
    let record = EvaluationRecord(
      step: state.step, epoch: epoch, metric: configuration.metric, result: result, isBest: isBest,
      seconds: (clock.now - start).seconds)
    if isBest {
      state.best = record
      state.evaluationsSinceBest = 0
      try Trace.span("best student") { try store.saveBest(trainer, step: state.step) }
    } else {
      state.evaluationsSinceBest += 1
      if let patience = configuration.patience, state.evaluationsSinceBest >= patience {
        state.isStopped = true
        observer.note("stopping early: no better \(configuration.metric.rawValue) in \(patience) evaluations")
      }
    }
    try writeLine(record.json)
    observer.evaluated(record)
    return result
  }

  /// Writes rank 0's log line; a full disk there aborts the job, since an agreement of all ranks in each step would
  /// cost time.
  func writeLine(_ line: JSON) throws { try log?.write(line) }
}
