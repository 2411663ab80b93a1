import Collectives
import Platform

/// What one optimizer step did; the losses are global means over the step's whole batch: over its examples, or over the
/// predicted tokens of documents.
public struct StepRecord: Sendable, Equatable {
  /// A term of the objective.
  public struct Term: Sendable, Equatable {
    /// Its name among the terms.
    public var name: String
    /// Its unweighted mean over the global batch.
    public var value: Double
  }

  /// The optimizer step, from 1.
  public var step: Int
  /// Optimizer steps of the whole run.
  public var totalSteps: Int
  /// The training stage; nil where there is one alone.
  public var stage: String?
  /// Epochs of the stage done after this step, with fraction.
  public var epoch: Double
  /// Σ weight · mean over the terms.
  public var loss: Double
  /// The terms, each an unweighted mean over the global batch.
  public var terms: [Term]
  /// −log of the probability that the student gives the label, or the next token, in nats.
  public var crossEntropy: Double
  /// The first divergence on logits; 0 without one.
  public var distillation: Double
  /// The rate that the step was taken with.
  public var learningRate: Double
  /// Global norm before clipping.
  public var gradientNorm: Double
  /// Tokens of the whole batch, over all ranks; for rows of numbers their count.
  public var tokens: Int
  /// Examples of the whole batch, over all ranks; of documents packed rows.
  public var examples: Int
  /// What the losses are means over: the examples, or predicted tokens.
  public var lossRows: Int
  /// Wall-clock seconds of the step.
  public var seconds: Double
  /// Seconds of it that this rank spent on teacher signals.
  public var teacherSeconds: Double
  /// Useful arithmetic of the step over all ranks: the student's forward and backward passes and what the teacher
  /// really computed, as `Model.forwardFLOPs` counts it.
  public var flops: Double
  /// What this rank's teacher computed of it; 0 when all signals were kept.
  public var teacherFLOPs: Double
  /// Where this rank's time in the exchange went.
  public var exchange: ExchangeSeconds
  /// What this rank sent in the step, in bytes.
  public var sentBytes: [Traffic.Purpose: Int]

  /// The line of metrics.jsonl.
  public var json: JSON {
    var line: [String: JSON] = [
      "event": "step", "step": .int(step), "epoch": .double(epoch), "loss": .double(loss), "ce": .double(crossEntropy),
      "terms": .object(Dictionary(terms.map { ($0.name, JSON.double($0.value)) }) { first, _ in first }),
      "kd": .double(distillation), "learning_rate": .double(learningRate), "gradient_norm": .double(gradientNorm),
      "tokens": .int(tokens), "examples": .int(examples), "loss_rows": .int(lossRows), "seconds": .double(seconds),
      "teacher_seconds": .double(teacherSeconds), "gflops": .double(seconds > 0 ? flops / seconds * 1e-9 : 0),
      "exchange_seconds": .double(exchange.all.reduce(0, +)),
    ]
    if let stage { line["stage"] = .string(stage) }
    return .object(line)
  }
}

/// Seconds that a rank spends in the exchange during a step, by the place where it may have to wait for others.
///
/// A rank that waits for a slower one communicates no more than that one does. At each place the rank that came last
/// has waited for nobody, so the least of all ranks at a place is what the exchange itself has cost there.
public struct ExchangeSeconds: Sendable, Equatable {
  /// For the rows of embedding tables, before the first pass.
  public var rows = 0.0
  /// During backward passes, to start messages and to keep them moving: never waiting.
  public var progress = 0.0
  /// For the sums of gradients, norm and loss included.
  public var gradients = 0.0
  /// For the updated weights.
  public var weights = 0.0

  /// No time at all.
  public init() {}

  /// All places, in the order of a step.
  public var all: [Double] { [rows, progress, gradients, weights] }

  /// Σ over steps and places of the least of all ranks, seconds; collective, all ranks with the same steps.
  public static func exposed(_ steps: [ExchangeSeconds], on communicator: any Communicator) throws -> Double {
    try communicator.allReduce(steps.flatMap(\.all), .min).reduce(0, +)
  }
}

/// What an evaluation found.
public struct EvaluationRecord: Sendable, Equatable {
  /// Optimizer steps done before it.
  public var step: Int
  /// Epochs done before it, with fraction.
  public var epoch: Double
  /// The figure that decides which evaluation is the best.
  public var metric: Metric
  /// Counts and loss over the whole split, the same on every rank.
  public var result: EvaluationResult
  /// Whether it is the best of the run so far.
  public var isBest: Bool
  /// Wall-clock seconds of the evaluation.
  public var seconds: Double

  /// The value of `metric`.
  public var value: Double { result.value(metric) }

  /// The line of metrics.jsonl.
  public var json: JSON {
    // Of no labelled row there are no figures.
    func figure(_ value: Double) -> JSON { result.count == 0 ? .null : .double(value) }
    var line: [String: JSON] = [
      "event": "evaluation", "step": .int(step), "epoch": .double(epoch), "split": "validation",
      "metric": .string(metric.rawValue), "value": figure(value), "count": .int(result.count),
      "loss": figure(result.loss), "best": .bool(isBest), "seconds": .double(seconds),
    ]
    if result.isOfDocuments {
      line["perplexity"] = .double(result.perplexity)
    } else {
      // Other figures than the accuracy do not count right answers.
      if metric == .accuracy { line["correct"] = .int(result.correct) }
      if metric == .f1 { line["average"] = .string(result.f1Average) }
      line["accuracy"] = figure(result.accuracy)
      line["standard_error"] = figure(result.standardError)
    }
    return .object(line)
  }
}

/// Somebody who wants to know how training goes; called on every rank.
public protocol TrainingObserver: AnyObject {
  /// An optimizer step has been taken.
  func trained(_ record: StepRecord)
  /// The validation split has been evaluated.
  func evaluated(_ record: EvaluationRecord)
  /// A remark for the log.
  func note(_ text: String)
}
