import Collectives
import Datasets
import Platform

/// The record of one optimizer step; losses are means over the global batch: over its examples, or over the predicted
/// tokens of documents.
package struct StepRecord: Sendable, Equatable {
  /// A term of the objective.
  package struct Term: Sendable, Equatable {
    /// The term's unique name.
    package var name: String
    /// Its unweighted mean over the global batch; nil if the batch has no row for it, such as none with a label.
    package var value: Double?
  }

  /// The optimizer step in the whole run, from 1.
  package var step: Int
  /// Optimizer steps of the whole run.
  package var totalSteps: Int
  /// The training stage; nil with a single stage.
  package var stage: String?
  /// Epochs of the stage done after this step, with fraction.
  package var epoch: Double
  /// Σ weight · mean over the terms.
  package var loss: Double
  /// The terms, each an unweighted mean over the global batch.
  package var terms: [Term]
  /// −log of the student's probability of the label, or of the next token, in nats; 0 without the term or without
  /// labels.
  package var crossEntropy: Double
  /// The first divergence on logits; 0 without one.
  package var distillation: Double
  /// The learning rate of the step.
  package var learningRate: Double
  /// Global norm before clipping.
  package var gradientNorm: Double
  /// Tokens of the global batch; for numeric rows the row count.
  package var tokens: Int
  /// Examples of the global batch; for documents packed rows.
  package var examples: Int
  /// The number of rows in the losses' means: examples, or predicted tokens.
  package var lossRows: Int
  /// Wall-clock seconds of the step.
  package var seconds: Double
  /// Seconds of it that this rank spent on teacher signals.
  package var teacherSeconds: Double
  /// FLOPs of the step over all ranks: the student's forward and backward passes and the teachers' actual computation,
  /// counted as in `Model.forwardFLOPs`.
  package var flops: Double
  /// This rank's share of the teachers' FLOPs; 0 if all signals come from the cache.
  package var teacherFLOPs: Double
  /// This rank's time in the exchange.
  package var exchange: ExchangeSeconds
  /// Bytes that this rank sent in the step.
  package var sentBytes: [Traffic.Purpose: Int]
  /// Why the step took no update; nil for a step that took one.
  package var fault: NumericalFault?

  private static func json(_ value: Double?) -> JSON { value.map(JSON.double) ?? .null }

  /// The line of metrics.jsonl.
  package var json: JSON {
    if let fault { return fault.json(step: step, stage: stage, epoch: epoch) }
    var line: [String: JSON] = [
      "event": "step", "step": .int(step), "epoch": .double(epoch), "loss": .double(loss),
      "ce": terms.contains { $0.value == nil } ? .null : .double(crossEntropy),
      "terms": .object(Dictionary(terms.map { ($0.name, StepRecord.json($0.value)) }) { first, _ in first }),
      "kd": .double(distillation), "learning_rate": .double(learningRate), "gradient_norm": .double(gradientNorm),
      "tokens": .int(tokens), "examples": .int(examples), "loss_rows": .int(lossRows), "seconds": .double(seconds),
      "teacher_seconds": .double(teacherSeconds), "gflops": .double(seconds > 0 ? flops / seconds * 1e-9 : 0),
      "exchange_seconds": .double(exchange.all.reduce(0, +)),
    ]
    if let stage { line["stage"] = .string(stage) }
    return .object(line)
  }
}

/// Seconds that a rank spends in the exchange during a step, by the point at which it may wait for others.
///
/// A wait for a slower rank is no cost of the exchange. At each point the last rank to arrive does not wait, so the
/// minimum over ranks is the cost of the exchange itself.
package struct ExchangeSeconds: Sendable, Equatable {
  /// Waiting for the rows of embedding tables, before the first pass.
  package var rows = 0.0
  /// During backward passes, starting and progressing messages; never waiting.
  package var progress = 0.0
  /// Waiting for the sums of gradients, including norm and loss.
  package var gradients = 0.0
  /// Waiting for the updated weights.
  package var weights = 0.0

  /// Creates zero seconds everywhere.
  package init() {}

  /// All points, in the order of a step.
  package var all: [Double] { [rows, progress, gradients, weights] }

  /// Σ over steps and points of the minimum over ranks, in seconds; collective, with the same steps on all ranks.
  package static func exposed(_ steps: [ExchangeSeconds], on communicator: any Communicator) throws -> Double {
    try communicator.allReduce(steps.flatMap(\.all), .min).reduce(0, +)
  }
}

/// The record of an evaluation.
package struct EvaluationRecord: Sendable, Equatable {
  /// Optimizer steps done before it.
  package var step: Int
  /// Epochs done before it, with fraction.
  package var epoch: Double
  /// The metric that selects the best evaluation.
  package var metric: Metric
  /// Counts and loss over the whole split, the same on every rank.
  package var result: EvaluationResult
  /// Whether it is the best of the run so far.
  package var isBest: Bool
  /// Wall-clock seconds of the evaluation.
  package var seconds: Double

  /// The value of `metric`.
  package var value: Double { result.value(metric) }

  /// The line of metrics.jsonl.
  package var json: JSON {
    // Without labelled rows there are no metrics.
    func figure(_ value: Double) -> JSON { result.count == 0 || value.isNaN ? .null : .double(value) }
    var line: [String: JSON] = [
      "event": "evaluation", "step": .int(step), "epoch": .double(epoch), "split": "validation",
      "metric": .string(metric.rawValue), "value": figure(value), "count": .int(result.count),
      "loss": result.measuresLoss ? figure(result.loss) : .null, "best": .bool(isBest), "seconds": .double(seconds),
    ]
    if result.isOfDocuments {
      line["perplexity"] = .double(result.perplexity)
    }
    for (metric, value) in result.values { line[metric.rawValue] = figure(value) }
    if !result.confusion.isEmpty {
      // Only the accuracy line has the number of correct answers.
      if metric == .accuracy { line["correct"] = .int(result.correct) }
      if metric == .f1 { line["average"] = .string(result.f1Average) }
      line["accuracy"] = figure(result.accuracy)
      line["standard_error"] = figure(result.standardError)
    }
    return .object(line)
  }
}

/// Receives training events; called on every rank.
package protocol TrainingObserver: AnyObject {
  /// Reports a finished optimizer step.
  func trained(_ record: StepRecord)
  /// Reports a finished evaluation of the validation split.
  func evaluated(_ record: EvaluationRecord)
  /// Reports a warning with figure and remedy.
  func warning(_ text: String)
  /// Reports a remark for the log.
  func note(_ text: String)
}
