import Datasets
import Models
import Platform

extension Trainer {
  /// The student's metrics on a split; collective.
  ///
  /// With sharded weights, every rank holds the whole embedding tables during the evaluation.
  package func evaluate(_ data: any ExampleSource) throws -> EvaluationResult {
    release()
    for table in tables { try table.hold() }
    defer { release() }
    try exchange.refresh()
    return try Trace.span("evaluation") {
      if let student = student as? any LanguageModel {
        return try Evaluator.evaluate(documents: data, on: communicator) { samples in
          try throughBlocks {
            try student.crossEntropySum(
              checked(data.batch(samples)), precision: configuration.precision, weights: weights,
              tapeObserver: exchange.strategy)
          }
        } idle: {
          try throughBlocks {}
        }
      }
      return try measure(data)
    }
  }

  private func measure(_ data: any ExampleSource) throws -> EvaluationResult {
    let names = configuration.labels ?? (0..<student.classCount).map(String.init)
    return try Evaluator.evaluate(data, names: names, threshold: configuration.threshold, on: communicator) { samples in
      try throughBlocks {
        try student.logits(
          checked(data.batch(samples)), precision: configuration.precision, weights: weights,
          tapeObserver: exchange.strategy)
      }
    } idle: {
      try throughBlocks {}
    }
  }

  /// Runs a forward pass, or without one this rank's part in the passes of others: with sharded weights all ranks run
  /// equally many.
  private func throughBlocks<T>(_ pass: () throws -> T) throws -> T {
    exchange.strategy.beginReading()
    let result = try pass()
    try exchange.strategy.endReading()
    return result
  }
}
