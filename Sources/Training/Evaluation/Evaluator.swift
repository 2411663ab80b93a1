import CKernels
import Collectives
import Datasets
import Foundation
import Objectives
import Platform
import Tensors

/// Evaluates a model over a whole split, divided over the ranks; every labelled example counts exactly once.
package enum Evaluator {
  /// Maximum tokens of an evaluation batch: enough for full matrix product speed.
  static let batchTokens = 4096
  /// Maximum tokens of a batch of documents: fewer, since every token has logits.
  static let documentTokens = 2048

  /// Evaluates a model whose outputs have a row for each row of the loss; collective, with the same result on every
  /// rank.
  ///
  /// - Parameters:
  ///   - data: the split; examples without a target are skipped.
  ///   - names: the names of the outputs, [classes].
  ///   - threshold: the probability from which a label of several holds.
  ///   - outputs: [R, classes] for the given examples.
  ///   - stop: what a stop request interrupts, as for `requireNoStop`; nil lets the evaluation finish first.
  ///   - idle: runs in place of a batch on ranks with fewer batches, so that all ranks run equally many.
  /// Throws `.stopped` on all ranks, and `.input` for a label outside the model's classes.
  package static func evaluate(
    _ data: any ExampleSource, names: [String], threshold: Double? = nil, stop: String? = nil,
    on communicator: any Communicator, outputs: (_ samples: [Int]) throws -> Tensor, idle: () throws -> Void = {}
  ) throws -> EvaluationResult {
    let shards = labelledShards(of: data, ranks: communicator.size)
    var tally = makeTally(data.kind, names, threshold: threshold)
    let own = shards[communicator.rank]
    let rounds = stop.map { StopRounds($0, on: communicator) }
    for _ in own.count..<(shards.map(\.count).max() ?? 0) {
      try rounds?.begin()
      try idle()
    }
    for samples in own {
      try rounds?.begin()
      // The targets alone: a teacher reads the examples in its own tokens.
      try tally.add(try outputs(samples), data.batch(samples))
    }
    try rounds?.finish()
    return try tally.result(on: communicator)
  }

  private static func makeTally(_ kind: TaskKind, _ names: [String], threshold: Double?) -> any EvaluationTally {
    switch kind.definition.output {
    case .classes:
      kind.definition.rows == .tokens ? TagTally(names) : ClassTally(kind, classCount: names.count)
    case .score: ScoreTally()
    case .vector: VectorTally(kind)
    case .labels: LabelSetTally(names, threshold: threshold ?? 0.5)
    }
  }

  /// The labelled examples of a split, in batches, by rank.
  private static func labelledShards(of data: any ExampleSource, ranks: Int) -> [[[Int]]] {
    func shards(_ lengths: [Int32]) -> [[[Int]]] {
      Sampler.evaluationShards(
        count: lengths.count, lengths: lengths, ranks: ranks, batchSize: 64, batchTokens: batchTokens)
    }
    if data.labelledCount == data.count { return shards(data.lengths) }
    let rows = (0..<data.count).filter { data.labelledRows($0) > 0 }
    return shards(rows.map { data.lengths[$0] }).map { batches in batches.map { batch in batch.map { rows[$0] } } }
  }

  /// The mean cross-entropy of a language model over every predicted token of the data; collective, with the same
  /// result on every rank.
  ///
  /// - Parameters:
  ///   - data: documents.
  ///   - crossEntropySum: Σ −log p(target) over the predicted tokens of the given examples.
  ///   - stop: what a stop request interrupts, as for `requireNoStop`; nil lets the evaluation finish first.
  ///   - idle: runs in place of a batch on ranks with fewer batches, so that all ranks run equally many.
  /// Throws `.stopped` on all ranks.
  package static func evaluate(
    documents data: any ExampleSource, stop: String? = nil, on communicator: any Communicator,
    crossEntropySum: (_ samples: [Int]) throws -> Double, idle: () throws -> Void = {}
  ) throws -> EvaluationResult {
    let shards = Sampler.evaluationShards(
      count: data.count, lengths: data.lengths, ranks: communicator.size, batchSize: 64,
      batchTokens: documentTokens)
    let rounds = stop.map { StopRounds($0, on: communicator) }
    for _ in shards[communicator.rank].count..<(shards.map(\.count).max() ?? 0) {
      try rounds?.begin()
      try idle()
    }
    let sum = try shards[communicator.rank].reduce(0.0) {
      try rounds?.begin()
      return try $0 + crossEntropySum($1)
    }
    try rounds?.finish()
    let total = try communicator.allReduce(sum, .sum)
    let count = (0..<data.count).reduce(0) { $0 + data.lossRows($1) }
    return EvaluationResult(predictedTokens: count, loss: count == 0 ? 0 : total / Double(count))
  }

  /// The index of the largest element; the first for ties.
  package static func largest(_ row: Tensor) -> Int {
    var best = 0
    for index in 1..<max(1, row.count) where row.floats[index] > row.floats[best] { best = index }
    return best
  }

  static func crossEntropySum(_ logits: Tensor, _ labels: [Int32]) -> Double {
    let gradient = Tensor(uninitialized: logits.shape)
    var values = [Double](repeating: 0, count: logits.rows)
    rtk_cross_entropy(&values, gradient.floats, logits.floats, labels, logits.rows, logits.columns)
    return values.reduce(0, +)
  }
}
