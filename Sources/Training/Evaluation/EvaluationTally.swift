import Collectives
import Datasets
import Foundation
import Objectives
import Platform
import Tensors

/// What an evaluation counts on one rank, and the result of all ranks.
protocol EvaluationTally {
  /// Adds the outputs of a batch's rows, [R, classes], with their targets.
  mutating func add(_ outputs: Tensor, _ batch: Batch) throws
  /// The result over all ranks, the same on each; collective.
  func result(on communicator: any Communicator) throws -> EvaluationResult
}

/// Counts of exclusive classes.
struct ClassTally: EvaluationTally {
  private let kind: TaskKind
  private let classCount: Int
  private var confusion: [Int]
  private var lossSum = 0.0

  init(_ kind: TaskKind, classCount: Int) {
    (self.kind, self.classCount) = (kind, classCount)
    confusion = [Int](repeating: 0, count: classCount * classCount)
  }

  mutating func add(_ outputs: Tensor, _ batch: Batch) throws { _ = try add(outputs, labels: batch.rowLabels) }

  /// Adds rows, and returns the prediction of each.
  mutating func add(_ outputs: Tensor, labels: [Int32]) throws -> [Int] {
    if let wrong = labels.first(where: { Int($0) >= classCount }) {
      throw RetortError(
        .input, "the class \(wrong) is outside the model's \(classCount) classes", at: "the data",
        remedy: "check the labels of the data")
    }
    lossSum += Evaluator.crossEntropySum(outputs, labels)
    return labels.enumerated().map { row, label in
      let prediction = Evaluator.largest(outputs.rows(row..<row + 1))
      if label >= 0 { confusion[Int(label) * classCount + prediction] += 1 }
      return prediction
    }
  }

  func result(on communicator: any Communicator) throws -> EvaluationResult {
    let (confusion, loss) = try sums(on: communicator)
    return EvaluationResult(kind: kind, confusion: confusion, classCount: classCount, loss: loss)
  }

  /// The confusion and the mean loss over all ranks; collective.
  func sums(on communicator: any Communicator) throws -> (confusion: [Int], loss: Double) {
    let confusion = try communicator.allReduce(confusion, .sum)
    let sum = try communicator.allReduce(lossSum, .sum)
    let count = confusion.reduce(0, +)
    return (confusion, count == 0 ? 0 : sum / Double(count))
  }
}

/// Counts of words' classes, and of the entities that they form if they are parts of entities.
struct TagTally: EvaluationTally {
  private var classes: ClassTally
  private let classCount: Int
  /// nil for tags that form no entities.
  private let tags: EntityTags?
  private var entities: EntityScores

  init(_ names: [String]) {
    classCount = names.count
    classes = ClassTally(.tokenClassification, classCount: names.count)
    let tags = EntityTags(names)
    self.tags = TagScheme(names) == .entities ? tags : nil
    entities = EntityScores(types: self.tags?.types ?? [])
  }

  mutating func add(_ outputs: Tensor, _ batch: Batch) throws {
    let predictions = try classes.add(outputs, labels: batch.rowLabels)
    guard let tags else { return }
    var row = 0
    // Entities reach over the windows of an example.
    for sequences in batch.examples {
      var (predicted, gold): ([Int], [Int]) = ([], [])
      let tokens = Int(batch.offsets[sequences.lowerBound])..<Int(batch.offsets[sequences.upperBound])
      for token in tokens where batch.targets[token] != Batch.uncounted {
        // A word without a class is no part of the sequence.
        if batch.targets[token] >= 0 {
          predicted.append(predictions[row])
          gold.append(Int(batch.targets[token]))
        }
        row += 1
      }
      entities.add(predicted: predicted, gold: gold, tags)
    }
  }

  func result(on communicator: any Communicator) throws -> EvaluationResult {
    let (confusion, loss) = try classes.sums(on: communicator)
    guard tags != nil else {
      return EvaluationResult(
        kind: .tokenClassification, confusion: confusion, classCount: classCount, loss: loss)
    }
    let counts = entities.counts.isEmpty ? [] : try communicator.allReduce(entities.counts, .sum)
    let all = EntityScores(types: entities.types, counts: counts)
    let micro = all.micro
    return EvaluationResult(
      kind: .tokenClassification, confusion: confusion, classCount: classCount, loss: loss,
      values: [.entityF1: micro.f1, .entityPrecision: micro.precision, .entityRecall: micro.recall],
      parts: all.types.indices.map { EvaluationResult.Part(all.types[$0], all.score(ofType: $0)) })
  }
}

/// Scores with their targets, on one rank and then of all ranks.
struct ScoredPairs {
  /// Sample, score and target, three numbers each.
  private var rows: [Double] = []

  mutating func add(sample: Int, score: Double, target: Float) { rows += [Double(sample), score, Double(target)] }

  /// The pairs of all ranks in the order of the data, so that sums have the same bits for any number of ranks;
  /// collective.
  func gathered(on communicator: any Communicator) throws -> (scores: [Double], targets: [Double]) {
    var pairs: [(sample: Double, score: Double, target: Double)] = []
    for part in try communicator.allGather(rows) {
      for at in stride(from: 0, to: part.count, by: 3) { pairs.append((part[at], part[at + 1], part[at + 2])) }
    }
    pairs.sort { $0.sample < $1.sample }
    return (pairs.map(\.score), pairs.map(\.target))
  }

  /// The correlations of scores and targets; NaN where one is undefined.
  static func correlations(_ scores: [Double], _ targets: [Double]) -> [Metric: Double] {
    [
      .pearson: Correlation.pearson(scores, targets) ?? .nan,
      .spearman: Correlation.spearman(scores, targets) ?? .nan,
    ]
  }
}

/// Pairs of score and target.
struct ScoreTally: EvaluationTally {
  private var pairs = ScoredPairs()

  mutating func add(_ outputs: Tensor, _ batch: Batch) {
    for (row, sample) in batch.samples.enumerated() where !batch.values[row].isNaN {
      pairs.add(sample: sample, score: Double(outputs.floats[row * outputs.columns]), target: batch.values[row])
    }
  }

  func result(on communicator: any Communicator) throws -> EvaluationResult {
    let (scores, targets) = try pairs.gathered(on: communicator)
    let error = Correlation.meanSquaredError(scores, targets)
    var values = ScoredPairs.correlations(scores, targets)
    values[.meanSquaredError] = error
    return EvaluationResult(kind: .regression, count: scores.count, loss: error, values: values)
  }
}

/// The probability from which a label of several holds.
package struct LabelThreshold: Sendable {
  /// Its logit, log(p / (1 − p)).
  package let logit: Float

  /// - Parameter probability: above 0 and below 1.
  package init(_ probability: Double) { logit = Float(log(probability / (1 - probability))) }
}

/// Counts of labels that hold or do not hold.
struct LabelSetTally: EvaluationTally {
  private let names: [String]
  /// The smallest logit with which a label holds.
  private let limit: Float
  private var scores: LabelSetScores
  private var lossSum = 0.0

  init(_ names: [String], threshold: Double) {
    self.names = names
    limit = LabelThreshold(threshold).logit
    scores = LabelSetScores(labelCount: names.count)
  }

  mutating func add(_ outputs: Tensor, _ batch: Batch) {
    let columns = outputs.columns
    lossSum += TargetLoss.binaryCrossEntropy.sum(outputs, batch.values, factor: 0, into: nil)
    for row in 0..<outputs.rows where !batch.values[row * columns].isNaN {
      let places = row * columns..<(row + 1) * columns
      scores.add(
        predicted: places.map { outputs.floats[$0] >= limit }, gold: places.map { batch.values[$0] > 0 })
    }
  }

  func result(on communicator: any Communicator) throws -> EvaluationResult {
    let all = LabelSetScores(labelCount: names.count, counts: try communicator.allReduce(scores.counts, .sum))
    let sum = try communicator.allReduce(lossSum, .sum)
    return EvaluationResult(
      kind: .multiLabel, count: all.rowCount, loss: all.rowCount == 0 ? 0 : sum / Double(all.rowCount),
      values: [
        .microF1: all.micro.f1, .macroF1: all.macro.f1, .subsetAccuracy: all.subsetAccuracy,
      ], parts: names.indices.map { EvaluationResult.Part(names[$0], all.score(ofLabel: $0)) })
  }
}
