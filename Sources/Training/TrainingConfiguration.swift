import Datasets
import Objectives
import Optimizers
import Platform
import Tensors

/// Everything that decides what a training step computes, with no value left open.
public struct TrainingConfiguration: Sendable, Equatable {
  /// When to evaluate and save.
  public enum Interval: Sendable, Equatable {
    /// At the end of each epoch.
    case epoch
    /// After every so many optimizer steps.
    case steps(Int)
  }

  /// Of all randomness: order of the data, dropout, fresh weights.
  public var seed: UInt64
  /// Optimizer steps of the whole run.
  public var totalSteps: Int
  /// What an optimizer step takes over all ranks.
  public var batchSize: BatchSize
  /// Micro-batches that a rank's part of a batch is cut into.
  public var accumulation: Int
  /// Tokens that one forward and backward pass may have; a rank's micro-batch is cut into as many passes as that takes.
  /// Small enough that activations stay in the cache and memory does not grow with the batch, large enough for the full
  /// speed of matrix multiplies.
  public var passTokens: Int
  /// The loss: its terms with their weights and options.
  public var objective: DistillationObjective
  /// AdamW's constants.
  public var optimizer: AdamWConfiguration
  /// Limit of the global gradient norm, or nil.
  public var maximumGradientNorm: Double?
  /// The learning rate of each step.
  public var schedule: Schedule
  /// Whether each epoch has an order of its own; otherwise the order of the file.
  public var shuffle: Bool
  /// Whether examples of like length share a batch.
  public var groupByLength: Bool
  /// Replaces the dropout probabilities of the model's configuration; nil keeps them.
  public var dropout: Double?
  /// Of matrix multiplies; weights, their updates and all sums are float32 in either.
  public var precision: Precision
  /// When the validation split is evaluated, besides the end of the run.
  public var evaluation: Interval
  /// What decides which student is the best, and when to stop.
  public var metric: Metric
  /// Evaluations without improvement after which training stops; nil never.
  public var patience: Int?
  /// Optimizer steps between checkpoints besides those at evaluations; nil none.
  public var saveSteps: Int?
  /// Checkpoints kept besides the best student.
  public var saveTotalLimit: Int
  /// Optimizer steps between lines of metrics.jsonl.
  public var loggingSteps: Int
  /// Size at which a gradient bucket is closed, bytes.
  public var bucketBytes: Int
  /// What ranks share out of the student.
  public var sharding: StudentSharding
  /// Whether of each layer the input alone is kept, and the rest computed again in the backward pass; the same bits.
  public var activationCheckpointing: Bool

  /// All values; the defaults are those of a chain file that says nothing.
  public init(
    seed: UInt64, totalSteps: Int, batchSize: BatchSize, accumulation: Int = 1, passTokens: Int = 2048,
    objective: DistillationObjective, optimizer: AdamWConfiguration = AdamWConfiguration(),
    maximumGradientNorm: Double? = 1, schedule: Schedule, shuffle: Bool = true, groupByLength: Bool = true,
    dropout: Double? = nil, precision: Precision = .fp32, evaluation: Interval = .epoch, metric: Metric = .accuracy,
    patience: Int? = nil, saveSteps: Int? = nil, saveTotalLimit: Int = 2, loggingSteps: Int = 1,
    bucketBytes: Int = 25 << 20, sharding: StudentSharding = .optimizer, activationCheckpointing: Bool = false
  ) {
    self.seed = seed
    self.totalSteps = totalSteps
    self.batchSize = batchSize
    self.accumulation = accumulation
    self.passTokens = passTokens
    self.objective = objective
    self.optimizer = optimizer
    self.maximumGradientNorm = maximumGradientNorm
    self.schedule = schedule
    self.shuffle = shuffle
    self.groupByLength = groupByLength
    self.dropout = dropout
    self.precision = precision
    self.evaluation = evaluation
    self.metric = metric
    self.patience = patience
    self.saveSteps = saveSteps
    self.saveTotalLimit = saveTotalLimit
    self.loggingSteps = loggingSteps
    self.bucketBytes = bucketBytes
    self.sharding = sharding
    self.activationCheckpointing = activationCheckpointing
  }

  /// What decides where the student's numbers lie, in words: "student sharding gradients, activation checkpointing".
  public var sharingText: String {
    "student sharding \(sharding.rawValue)" + (activationCheckpointing ? ", activation checkpointing" : "")
  }

  /// The values by the names of the chain file, as they are printed and stored; what only changes logging, saving
  /// and speed is left out, so that equal text means equal students.
  public var json: [String: JSON] {
    let batch: (key: String, count: Int) =
      switch batchSize {
      case .examples(let count): ("batch_size", count)
      case .tokens(let count): ("batch_tokens", count)
      }
    let members: [String: JSON] = [
      "seed": .int(Int(truncatingIfNeeded: seed)), "max_steps": .int(totalSteps), batch.key: .int(batch.count),
      "gradient_accumulation_steps": .int(accumulation),
      "learning_rate": .double(schedule.peak), "schedule": .string(schedule.kind.rawValue),
      "warmup_steps": .int(schedule.warmup), "shuffle": .bool(shuffle), "group_by_length": .bool(groupByLength),
      "dropout": dropout.map(JSON.double) ?? .null, "precision": .string(precision.rawValue),
      "metric": .string(metric.rawValue),
      "evaluation": evaluation == .epoch ? "epoch" : .string("\(evaluation)"),
      "early_stopping_patience": patience.map(JSON.int) ?? .null,
      "optimizer": [
        "name": "adamw", "weight_decay": .double(optimizer.weightDecay),
        "betas": [.double(optimizer.beta1), .double(optimizer.beta2)], "epsilon": .double(optimizer.epsilon),
        "max_grad_norm": maximumGradientNorm.map(JSON.double) ?? .null,
      ],
    ]
    return members.merging(objective.json) { first, _ in first }
  }
}
