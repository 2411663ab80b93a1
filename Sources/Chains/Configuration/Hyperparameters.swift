import Datasets
import Objectives
import Optimizers
import Training

/// How a step is trained. The defaults are those of a chain file that says nothing.
public struct Hyperparameters: Sendable, Equatable {
  /// The shape of the learning rate over the steps, after warm-up.
  public typealias Schedule = Optimizers.Schedule.Kind

  /// What an optimizer step takes.
  public typealias BatchSize = Datasets.BatchSize

  /// The number format of weights and matrix products.
  public enum Precision: String, Sendable, CaseIterable {
    /// `bf16` where the CPU computes it natively, else `fp32`.
    case auto
    case fp32, bf16
  }

  /// What "best" and early stopping look at.
  public typealias Metric = Training.Metric

  /// When the validation split is evaluated.
  public enum Evaluation: Sendable, Equatable {
    /// After each epoch and at the end.
    case epoch
    /// After every so many optimizer steps and at the end.
    case steps(Int)
  }

  /// How long the learning rate rises.
  public enum Warmup: Sendable, Equatable {
    /// Optimizer steps, 0 or more.
    case steps(Int)
    /// Share of all optimizer steps, 0 to 1.
    case ratio(Double)

    /// The warm-up steps of a run of `total` steps; a ratio is rounded up, as Hugging Face does.
    public func steps(of total: Int) -> Int {
      switch self {
      case .steps(let count): count
      case .ratio(let share): Int((share * Double(total)).rounded(.up))
      }
    }
  }

  /// AdamW's settings. Weight decay never touches biases and norms.
  public struct Optimizer: Sendable, Equatable {
    /// 0 or more. Default: 0.
    public var weightDecay = 0.0
    /// Decay of the gradient's mean, 0 to below 1. Default: 0.9.
    public var beta1 = 0.9
    /// Decay of the squared gradient's mean, 0 to below 1. Default: 0.999.
    public var beta2 = 0.999
    /// Above 0. Default: 1e-8.
    public var epsilon = 1e-8
    /// The global gradient norm is clipped to this; nil (null or 0 in the file) = no clipping. Default: 1.
    public var maxGradientNorm: Double? = 1

    /// The defaults: no decay, betas 0.9 and 0.999, epsilon 1e-8, gradients clipped to norm 1.
    public init() {}
  }

  /// The highest learning rate, 0 or more. Default: 1e-4.
  public var learningRate = 1e-4
  /// Passes over the training data, fractions allowed; counts only where `maxSteps` is nil. Default: 3.
  public var trainEpochs = 3.0
  /// Optimizer steps in all; given together with `num_train_epochs` it wins, as in Hugging Face. Default: nil.
  public var maxSteps: Int?
  /// What an optimizer step takes over all ranks and micro-batches: `batch_size` examples, or at most `batch_tokens`
  /// tokens. Default: 32 examples.
  public var batchSize: BatchSize = 32
  /// Micro-batches that an optimizer step's batch is cut into, from 1 to the batch size or tokens. Default: 1.
  public var gradientAccumulationSteps = 1
  /// The terms of the loss. Default: 0.5 · cross-entropy + 0.5 · forward KL at temperature 2.
  ///
  /// The short form has two of them: `alpha: a` means ce_weight = a and kd_weight = 1 − a; of `ce_weight` and
  /// `kd_weight`, the one that is left out is 1 minus the other. `alpha` beside either of them is refused.
  public var objectives = ObjectiveListing.short(ce: 0.5, kd: 0.5, ObjectiveTerm(ObjectiveRegistry.forwardKL))
  public var optimizer = Optimizer()
  /// Default: linear.
  public var schedule: Schedule = .linear
  /// Default: none.
  public var warmup: Warmup = .steps(0)
  /// A new order of the training data each epoch; false = file order. Default: true.
  public var shuffle = true
  /// Examples of like length share a batch. Default: true.
  public var groupByLength = true
  /// Replaces every dropout probability of the student, 0 to below 1; nil = as its config says. Default: nil.
  public var dropout: Double?
  /// Default: auto.
  public var precision: Precision = .auto
  /// Whether of each layer the input alone is kept, and the backward pass computes the rest again. Default: false.
  public var activationCheckpointing = false
  /// Default: each epoch.
  public var evaluation: Evaluation = .epoch
  /// Nil = the task's own, see `metric(for:)`. Default: nil.
  public var metric: Metric?
  /// Evaluations without a better value before training stops, 1 or more; nil = never. Default: nil.
  public var earlyStoppingPatience: Int?
  /// Optimizer steps between checkpoints besides those of every evaluation; nil = none. Default: nil.
  public var saveSteps: Int?
  /// Checkpoints kept, 1 or more; nil (null) = all. Default: 2.
  public var saveTotalLimit: Int? = 2
  /// Optimizer steps between lines in the log, 1 or more. Default: 1.
  public var loggingSteps = 1

  /// The defaults, as every property states its own.
  public init() {}

  /// The metric that decides: the one named, else accuracy where there are labels and perplexity where there are none.
  public func metric(for kind: TaskConfiguration.Kind) -> Metric {
    metric ?? (kind == .languageModeling ? .perplexity : .accuracy)
  }
}
