import Datasets
import Objectives
import Optimizers
import Training

/// The hyperparameters of a training stage, with the defaults of a chain file without the key.
package struct Hyperparameters: Sendable, Equatable {
  /// The shape of the learning rate over the steps, after warm-up.
  package typealias Schedule = Optimizers.Schedule.Kind

  /// The size of an optimizer step's batch.
  package typealias BatchSize = Datasets.BatchSize

  /// The number format of weights and matrix products.
  package enum Precision: String, Sendable, CaseIterable {
    /// `bf16` where the CPU computes it natively, else `fp32`.
    case auto
    case fp32, bf16
  }

  /// The metric that selects the best student and drives early stopping.
  package typealias Metric = Datasets.Metric

  /// When to evaluate on the validation split.
  package enum Evaluation: Sendable, Equatable {
    /// After each epoch and at the end.
    case epoch
    /// After every N optimizer steps and at the end.
    case steps(Int)
  }

  /// The length of the learning rate's warm-up.
  package enum Warmup: Sendable, Equatable {
    /// Optimizer steps, 0 or more.
    case steps(Int)
    /// A share of all optimizer steps, 0 to 1.
    case ratio(Double)

    /// The warm-up steps of a run of `total` steps; a ratio is rounded up, as in Hugging Face.
    package func steps(of total: Int) -> Int {
      switch self {
      case .steps(let count): count
      case .ratio(let share): Int((share * Double(total)).rounded(.up))
      }
    }
  }

  /// The settings of AdamW; weight decay never applies to biases and norms.
  package struct Optimizer: Sendable, Equatable {
    /// 0 or more. Default: 0.
    package var weightDecay = 0.0
    /// Decay of the gradient's mean, 0 to below 1. Default: 0.9.
    package var beta1 = 0.9
    /// Decay of the squared gradient's mean, 0 to below 1. Default: 0.999.
    package var beta2 = 0.999
    /// Above 0. Default: 1e-8.
    package var epsilon = 1e-8
    /// Maximum global gradient norm; nil (null or 0 in the file) disables clipping. Default: 1.
    package var maxGradientNorm: Double? = 1

    /// The defaults: no decay, betas 0.9 and 0.999, epsilon 1e-8, gradients clipped to norm 1.
    package init() {}
  }

  /// The peak learning rate, 0 or more. Default: 1e-4.
  package var learningRate = 1e-4
  /// Epochs over the training data, fractions allowed; used only if `maxSteps` is nil. Default: 3.
  package var trainEpochs = 3.0
  /// Total optimizer steps; overrides `num_train_epochs`, as in Hugging Face. Default: nil.
  package var maxSteps: Int?
  /// The batch of an optimizer step over all ranks and micro-batches: `batch_size` examples, or at most `batch_tokens`
  /// tokens. Default: 32 examples.
  package var batchSize: BatchSize = 32
  /// Micro-batches into which an optimizer step's batch is split, from 1 to the batch size or tokens. Default: 1.
  package var gradientAccumulationSteps = 1
  /// The terms of the loss. Default: 0.5 · cross-entropy + 0.5 · forward KL at temperature 2.
  ///
  /// The short form has two terms: `alpha: a` means ce_weight = a and kd_weight = 1 − a; if only one of `ce_weight`
  /// and `kd_weight` is given, the other is 1 minus it. `alpha` with either of them is refused.
  package var objectives = ObjectiveListing.short(ce: 0.5, kd: 0.5, ObjectiveTerm(ObjectiveRegistry.forwardKL))
  package var optimizer = Optimizer()
  /// The learning rate schedule. Default: linear.
  package var schedule: Schedule = .linear
  /// The warm-up. Default: none.
  package var warmup: Warmup = .steps(0)
  /// Whether each epoch shuffles the training data; false keeps the file order. Default: true.
  package var shuffle = true
  /// Whether examples of similar length share a batch. Default: true.
  package var groupByLength = true
  /// Replaces every dropout probability of the student, 0 to below 1; nil keeps those of its configuration. Default:
  /// nil.
  package var dropout: Double?
  /// The number format. Default: auto.
  package var precision: Precision = .auto
  /// Whether each layer keeps only its input and is recomputed in the backward pass. Default: false.
  package var activationCheckpointing = false
  /// When to evaluate. Default: each epoch.
  package var evaluation: Evaluation = .epoch
  /// The metric that selects the best student; nil means the task's default, see `metric(for:labels:)`. Default: nil.
  package var metric: Metric?
  /// Evaluations without improvement before training stops, 1 or more; nil disables early stopping. Default: nil.
  package var earlyStoppingPatience: Int?
  /// Optimizer steps between extra checkpoints, besides those at evaluations; nil for no extra checkpoints. Default:
  /// nil.
  package var saveSteps: Int?
  /// Checkpoints to keep, 1 or more; nil (null) keeps all. Default: 2.
  package var saveTotalLimit: Int? = 2
  /// Optimizer steps in a row whose loss or gradient is not finite before training goes back to a checkpoint, 0 or
  /// more; each is skipped. Default: 3.
  package var maxSkippedSteps = 3
  /// Optimizer steps between log lines, 1 or more. Default: 1.
  package var loggingSteps = 1

  /// Creates hyperparameters with the default of every property.
  package init() {}

  /// The metric in the chain file, by default the first of the task that outputs with these names define.
  package func metric(for kind: TaskConfiguration.Kind, labels: [String]) -> Metric {
    metric ?? kind.definition.metrics(of: labels).first ?? .loss
  }
}
