import Datasets
import Objectives
import Optimizers
import Platform
import Tensors

/// Every value that determines what a training step computes.
package struct TrainingConfiguration: Sendable, Equatable {
  /// When to evaluate and save.
  package enum Interval: Sendable, Equatable {
    /// At the end of each epoch.
    case epoch
    /// After every N optimizer steps.
    case steps(Int)
  }

  /// The seed of all randomness: data order, dropout, initial weights.
  package var seed: UInt64
  /// Optimizer steps of the stage.
  package var totalSteps: Int
  /// The size of an optimizer step's batch, over all ranks.
  package var batchSize: BatchSize
  /// Micro-batches into which a rank's part of a batch is split.
  package var accumulation: Int
  /// Maximum tokens of one forward and backward pass; a micro-batch is split into as many passes as that takes.
  ///
  /// Passes are small enough that activations stay in the cache and memory does not grow with the batch, and large
  /// enough for full matrix product speed.
  package var passTokens: Int
  /// The loss: its terms with their weights and options.
  package var objective: DistillationObjective
  /// The settings of AdamW.
  package var optimizer: AdamWConfiguration
  /// Maximum global gradient norm; nil disables clipping.
  package var maximumGradientNorm: Double?
  /// The learning rate of each step.
  package var schedule: Schedule
  /// Whether each epoch shuffles the data; otherwise the file order.
  package var shuffle: Bool
  /// Whether examples of similar length share a batch.
  package var groupByLength: Bool
  /// Replaces the dropout probabilities of the model's configuration; nil keeps them.
  package var dropout: Double?
  /// The precision of matrix products; weights, updates and sums are float32 in every precision.
  package var precision: Precision
  /// When to evaluate on the validation split, besides the end of the run.
  package var evaluation: Interval
  /// The metric that selects the best student and drives early stopping.
  package var metric: Metric
  /// The names of the outputs; nil: their numbers.
  package var labels: [String]?
  /// The probability from which a label of several holds; nil: 0.5.
  package var threshold: Double?
  /// Evaluations without improvement before training stops; nil disables early stopping.
  package var patience: Int?
  /// Optimizer steps between extra checkpoints, besides those at evaluations; nil for no extra checkpoints.
  package var saveSteps: Int?
  /// Checkpoints to keep, besides the best student.
  package var saveTotalLimit: Int
  /// Optimizer steps in a row whose loss or gradient is not finite that are skipped before training goes back.
  package var maximumSkippedSteps: Int
  /// Optimizer steps between lines of metrics.jsonl.
  package var loggingSteps: Int
  /// The size at which a gradient bucket is closed, in bytes.
  package var bucketBytes: Int
  /// The part of the student that is sharded over ranks.
  package var sharding: StudentSharding
  /// How ranks exchange gradients and weights.
  package var exchange: ExchangeOptions
  /// Whether each layer keeps only its input and is recomputed in the backward pass, with the same bits.
  package var activationCheckpointing: Bool

  /// Creates a configuration; the defaults are those of a chain file without the key.
  package init(
    seed: UInt64, totalSteps: Int, batchSize: BatchSize, accumulation: Int = 1, passTokens: Int = 2048,
    objective: DistillationObjective, optimizer: AdamWConfiguration = AdamWConfiguration(),
    maximumGradientNorm: Double? = 1, schedule: Schedule, shuffle: Bool = true, groupByLength: Bool = true,
    dropout: Double? = nil, precision: Precision = .fp32, evaluation: Interval = .epoch, metric: Metric = .accuracy,
    patience: Int? = nil, saveSteps: Int? = nil, saveTotalLimit: Int = 2, maximumSkippedSteps: Int = 3,
    loggingSteps: Int = 1, bucketBytes: Int = 4 << 20, sharding: StudentSharding = .optimizer,
    exchange: ExchangeOptions = ExchangeOptions(), activationCheckpointing: Bool = false
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
    self.maximumSkippedSteps = maximumSkippedSteps
    self.loggingSteps = loggingSteps
    self.bucketBytes = bucketBytes
    self.sharding = sharding
    self.exchange = exchange
    self.activationCheckpointing = activationCheckpointing
  }

  /// The sharding of the student in words: "student sharding gradients, activation checkpointing".
  package var sharingText: String {
    "student sharding \(sharding.rawValue)" + (activationCheckpointing ? ", activation checkpointing" : "")
  }

  /// The values under their chain file keys, as printed and stored; values that affect only logging, saving and speed
  /// are omitted, so that equal text means equal students.
  package var json: [String: JSON] {
    let batch: (key: String, count: Int) =
      switch batchSize {
      case .examples(let count): ("batch_size", count)
      case .tokens(let count): ("batch_tokens", count)
      }
    var members: [String: JSON] = [
      "seed": .int(Int(truncatingIfNeeded: seed)), "max_steps": .int(totalSteps), batch.key: .int(batch.count),
      "gradient_accumulation_steps": .int(accumulation),
      "learning_rate": .double(schedule.peak), "schedule": .string(schedule.kind.rawValue),
      "warmup_steps": .int(schedule.warmup), "shuffle": .bool(shuffle), "group_by_length": .bool(groupByLength),
      "dropout": dropout.map(JSON.double) ?? .null, "precision": .string(precision.rawValue),
      "metric": .string(metric.rawValue), "threshold": threshold.map(JSON.double) ?? .null,
      "evaluation": evaluation == .epoch ? "epoch" : .string("\(evaluation)"),
      "early_stopping_patience": patience.map(JSON.int) ?? .null,
      "optimizer": [
        "name": "adamw", "weight_decay": .double(optimizer.weightDecay),
        "betas": [.double(optimizer.beta1), .double(optimizer.beta2)], "epsilon": .double(optimizer.epsilon),
        "max_grad_norm": maximumGradientNorm.map(JSON.double) ?? .null,
      ],
    ]
    // Rounding gradients gives another student; a missing key means float32.
    if exchange.gradients != .fp32 { members["exchange_gradients"] = .string(exchange.gradients.rawValue) }
    return members.merging(objective.json) { first, _ in first }
  }
}
