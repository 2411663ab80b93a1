import Models
import Objectives
import Optimizers
import Platform
import Safetensors
import Tensors
import Training

extension ChainRunner {
  /// The weights of a model by its place.
  func weights(_ place: ModelPlace) throws -> any WeightSource {
    try openWeights(inModelDirectory: plan.directory(of: place))
  }
}

extension TrainingConfiguration {
  /// The values that a step really trains with, everything resolved.
  ///
  /// - Parameters:
  ///   - precision: what the values' own stands for.
  ///   - hasTeacher: without one only the cross-entropy counts.
  ///   - examples: of the training split.
  init(
    _ values: Hyperparameters, precision: Precision, kind: TaskConfiguration.Kind, hasTeacher: Bool, examples: Int,
    seed: UInt64, parallel: ParallelConfiguration
  ) {
    let perEpoch = (examples + values.batchSize - 1) / values.batchSize
    let total = values.maxSteps ?? max(1, Int((values.trainEpochs * Double(perEpoch)).rounded(.up)))
    let weights = values.weights(hasTeacher: hasTeacher)
    let interval: Interval =
      switch values.evaluation {
      case .epoch: .epoch
      case .steps(let count): .steps(count)
      }
    self.init(
      seed: seed, totalSteps: total, batchSize: values.batchSize, accumulation: values.gradientAccumulationSteps,
      objective: DistillationObjective(
        crossEntropyWeight: weights.ce, distillationWeight: weights.kd, temperature: values.temperature),
      optimizer: AdamWConfiguration(
        beta1: values.optimizer.beta1, beta2: values.optimizer.beta2, epsilon: values.optimizer.epsilon,
        weightDecay: values.optimizer.weightDecay),
      maximumGradientNorm: values.optimizer.maxGradientNorm,
      schedule: Schedule(
        values.schedule, peak: values.learningRate, warmup: min(total, values.warmup.steps(of: total)), total: total),
      shuffle: values.shuffle, groupByLength: values.groupByLength, dropout: values.dropout,
      precision: precision, evaluation: interval,
      metric: values.metric(for: kind),
      patience: values.earlyStoppingPatience, saveSteps: values.saveSteps,
      saveTotalLimit: values.saveTotalLimit ?? .max, loggingSteps: values.loggingSteps,
      bucketBytes: Int(parallel.bucketMegabytes * Double(1 << 20)))
  }
}
