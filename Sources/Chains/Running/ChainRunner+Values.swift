import Datasets
import Models
import Objectives
import Optimizers
import Platform
import Safetensors
import Tensors
import Training

extension ChainRunner {
  /// The initial weights of a student, from a model at its place; a new head is not read.
  func weights(_ place: ModelPlace, _ student: ResolvedStudent) throws -> any WeightSource {
    try ModelDirectory(
      plan.directory(of: place), for: .student(head: student.head), task: plan.chain.metadata.task.kind,
      labels: plan.classes
    )
    .weights(for: student.configuration)
  }

  /// The files next to the initial weights that the student keeps. A student with random weights gets the generation
  /// settings of its teacher, whose tokens it shares.
  func companions(of step: ResolvedStep) -> [String] {
    guard step.student.configuration.isLanguageModel,
      let place = step.student.origin.place ?? step.teacher?.place
    else { return [] }
    return ModelDirectory.companions(of: plan.directory(of: place))
  }
}

extension ChainPlan {
  /// The configurations of a step's training stages, with the names of the stages.
  func stages(of step: ResolvedStep) -> [(name: String?, values: TrainingConfiguration)] {
    step.configuration.stages.map { stage in
      var objective = stage.hyperparameters.objectives.objective(step.teachers.map(\.role), step.configuration.combine)
      objective.sharedClasses = step.sharedTokens
      let values = TrainingConfiguration(
        stage.hyperparameters, precision: precision(of: step), task: chain.metadata.task, labels: labels.names,
        objective: objective,
        lengths: data[step.index].student.train.lengths, seed: chain.metadata.seed, parallel: chain.parallel)
      return (stage.name, values)
    }
  }

  /// Optimizer steps of all stages together.
  func totalSteps(of step: ResolvedStep) -> Int { stages(of: step).reduce(0) { $0 + $1.values.totalSteps } }

  /// Every value that determines what a step's training computes: the values of its single stage, or of each stage.
  func valuesJSON(of step: ResolvedStep) -> JSON {
    let stages = stages(of: step)
    if stages.count == 1 { return .object(stages[0].values.json) }
    return .array(
      stages.map { stage in
        .object(stage.values.json.merging(["stage": .string(stage.name ?? "")]) { first, _ in first })
      })
  }
}

extension TrainingConfiguration {
  /// The resolved values of a stage's training.
  ///
  /// - Parameters:
  ///   - precision: the resolved value of `precision`.
  ///   - objective: the loss, with the teachers of the step.
  ///   - lengths: tokens of each training example, [N].
  init(
    _ values: Hyperparameters, precision: Precision, task: TaskConfiguration, labels: [String],
    objective: DistillationObjective, lengths: [Int32], seed: UInt64, parallel: ParallelConfiguration
  ) {
    let sampler = Sampler(
      lengths: lengths, batchSize: values.batchSize, shuffle: values.shuffle, groupByLength: values.groupByLength,
      seed: seed)
    let total = values.maxSteps ?? max(1, Int((values.trainEpochs * Double(sampler.stepsPerEpoch)).rounded(.up)))
    let interval: Interval =
      switch values.evaluation {
      case .epoch: .epoch
      case .steps(let count): .steps(count)
      }
    self.init(
      seed: seed, totalSteps: total, batchSize: values.batchSize, accumulation: values.gradientAccumulationSteps,
      objective: objective,
      optimizer: AdamWConfiguration(
        beta1: values.optimizer.beta1, beta2: values.optimizer.beta2, epsilon: values.optimizer.epsilon,
        weightDecay: values.optimizer.weightDecay),
      maximumGradientNorm: values.optimizer.maxGradientNorm,
      schedule: Schedule(
        values.schedule, peak: values.learningRate, warmup: min(total, values.warmup.steps(of: total)), total: total),
      shuffle: values.shuffle, groupByLength: values.groupByLength, dropout: values.dropout,
      precision: precision, evaluation: interval,
      metric: values.metric(for: task.kind, labels: labels),
      patience: values.earlyStoppingPatience, saveSteps: values.saveSteps,
      saveTotalLimit: values.saveTotalLimit ?? .max, maximumSkippedSteps: values.maxSkippedSteps,
      loggingSteps: values.loggingSteps,
      bucketBytes: Int(parallel.bucketMegabytes * Double(1 << 20)),
      sharding: parallel.studentSharding, exchange: parallel.exchange,
      activationCheckpointing: values.activationCheckpointing)
    self.labels = labels.isEmpty ? nil : labels
    threshold = task.threshold
  }
}
