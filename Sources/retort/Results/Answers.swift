import Datasets
import Foundation
import Models
import Platform
import Tensors
import Training

/// What `predict` writes of a model's outputs: one JSON object for each example.
struct Answers {
  private let task: TaskDefinition
  private let names: [String]
  /// The smallest logit with which a label of several holds.
  private let limit: Float
  /// Whether vectors have length 1.
  private let normalizes: Bool
  /// The words of a tagger's examples; nil for ids.
  private let words: CountedWords?
  private let tags: EntityTags?

  init(_ model: LoadedModel, _ words: CountedWords?) {
    task = model.configuration.kind.definition
    names = model.labels.names
    limit = LabelThreshold(TaskRecord(model.configuration.json[TaskRecord.key])?.threshold ?? 0.5).logit
    normalizes = model.configuration.pooling?.normalizes ?? true
    self.words = words
    tags = task.rows == .tokens && TagScheme(names) == .entities ? EntityTags(names) : nil
  }

  /// The answers for a batch, from its outputs [R, classes].
  func of(_ outputs: Tensor, _ batch: Batch) throws -> [JSON] {
    if task.rows == .tokens { return try ofTags(outputs, batch) }
    if task.rows == .sequences { return ofVectors(outputs, batch) }
    return (0..<batch.count).map { row in
      let logits = outputs.rows(row..<row + 1)
      return switch task.output {
      case .classes: ofClasses(logits)
      case .labels: ofLabels(logits.array)
      case .vector: ["embedding": Answers.numbers(logits.array)]
      case .score: ["score": Answers.number(logits.floats[0]), "logits": Answers.numbers(logits.array)]
      }
    }
  }

  /// The answer of a language model.
  static func of(_ score: SequenceScore) -> JSON {
    [
      "logits": numbers(score.lastLogits), "nll": .double(score.negativeLogLikelihood), "tokens": .int(score.predicted),
    ]
  }

  private static func number(_ value: Float) -> JSON { .double(Double(value)) }
  private static func numbers(_ values: [Float]) -> JSON { .array(values.map(number)) }

  private func ofClasses(_ logits: Tensor) -> JSON {
    let best = Evaluator.largest(logits)
    return [
      "label": .int(best), "label_name": .string(names[best]), "logits": Answers.numbers(logits.array),
      "probabilities": .array(Answers.softmax(logits.array).map(JSON.double)),
    ]
  }

  private func ofLabels(_ values: [Float]) -> JSON {
    [
      "labels": .array(values.indices.filter { values[$0] >= limit }.map { .string(names[$0]) }),
      "logits": Answers.numbers(values),
      "probabilities": .array(values.map { .double(1 / (1 + exp(-Double($0)))) }),
    ]
  }

  /// The vector of each example, or both of a pair with their cosine.
  private func ofVectors(_ outputs: Tensor, _ batch: Batch) -> [JSON] {
    let vectors = TextVectors.of(outputs, batch, normalizes: normalizes)
    let isSecond = batch.texts.map { batch.isSecond[$0.lowerBound] }
    return vectors.indices.filter { !isSecond[$0] }.map { text in
      var answer: [String: JSON] = ["embedding": Answers.numbers(vectors[text])]
      if text + 1 < vectors.count, isSecond[text + 1] {
        answer["embedding_pair"] = Answers.numbers(vectors[text + 1])
        answer["cosine"] = .double(TextVectors.cosine(vectors[text], vectors[text + 1]))
      }
      return .object(answer)
    }
  }

  private static func softmax(_ values: [Float]) -> [Double] {
    let peak = values.max() ?? 0
    let exponentials = values.map { exp(Double($0 - peak)) }
    let sum = exponentials.reduce(0, +)
    return exponentials.map { $0 / sum }
  }

  private func ofTags(_ outputs: Tensor, _ batch: Batch) throws -> [JSON] {
    var row = 0
    return try batch.examples.map { sequences in
      let tokens = Int(batch.offsets[sequences.lowerBound])..<Int(batch.offsets[sequences.upperBound])
      let count = batch.targets[tokens].count { $0 != Batch.uncounted }
      defer { row += count }
      let rows = (row..<row + count).map { outputs.rows($0..<$0 + 1) }
      let best = rows.map(Evaluator.largest)
      var answer: [String: JSON] = [
        "labels": .array(best.map { .string(names[$0]) }), "logits": .array(rows.map { Answers.numbers($0.array) }),
      ]
      if let words {
        let example = batch.samples[sequences.lowerBound]
        let read = try words.read(example)
        if read.words.count != count {
          throw RetortError(.unexpected, "\(read.words.count) words for \(count) rows of example \(example + 1)")
        }
        if let tags { answer["entities"] = .array(tags.entities(in: best).map { json($0, read, rows, best, tags) }) }
      }
      return .object(answer)
    }
  }

  /// An entity: its type, its place, its text, and the mean probability of its words' tags.
  private func json(
    _ entity: Entity, _ read: CountedWords.Row, _ rows: [Tensor], _ best: [Int], _ tags: EntityTags
  ) -> JSON {
    let own = read.words[entity.range]
    let score = entity.range.reduce(0.0) { $0 + Answers.softmax(rows[$1].array)[best[$1]] }
    var object: [String: JSON] = [
      "label": .string(tags.types[entity.type]), "score": .double(score / Double(entity.range.count)),
    ]
    if let first = own.first, let last = own.last {
      object["start"] = .int(first.range.lowerBound)
      object["end"] = .int(last.range.upperBound)
      object["text"] = .string(read.text(from: first, to: last))
    }
    return .object(object)
  }
}
