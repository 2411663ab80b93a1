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
      let rows = (row..<row + count).map { TaggedRow(outputs.rows($0..<$0 + 1)) }
      guard let words else { return .object(json(rows)) }
      let example = batch.samples[sequences.lowerBound]
      let read = try words.read(example)
      if read.counted.count != count {
        throw RetortError(.unexpected, "\(read.counted.count) words for \(count) rows of example \(example + 1)")
      }
      return .object(json(rows, read))
    }
  }

  /// The outputs of a row of the loss, and the number of the largest.
  private struct TaggedRow {
    let logits: Tensor
    let best: Int

    init(_ logits: Tensor) { (self.logits, best) = (logits, Evaluator.largest(logits)) }

    var probability: Double { Answers.softmax(logits.array)[best] }
  }

  /// An answer for each token of ids, or for each word; null for a word that has no token, or none before the cut.
  private func json(_ rows: [TaggedRow?]) -> [String: JSON] {
    [
      "labels": .array(rows.map { $0.map { .string(names[$0.best]) } ?? .null }),
      "logits": .array(rows.map { $0.map { Answers.numbers($0.logits.array) } ?? .null }),
    ]
  }

  /// An answer for each word, from its first token, with the places of the words and the entities.
  private func json(_ rows: [TaggedRow], _ read: CountedWords.Row) -> [String: JSON] {
    var ofWords = [TaggedRow?](repeating: nil, count: read.words.count)
    for (word, row) in zip(read.counted, rows) where ofWords[word] == nil { ofWords[word] = row }
    var answer = json(ofWords)
    answer["offsets"] = .array(read.words.map { [.int($0.range.lowerBound), .int($0.range.upperBound)] })
    guard let tags else { return answer }
    let answered = zip(read.words, ofWords).compactMap { word, row in row.map { (word: word, row: $0) } }
    answer["entities"] = .array(
      tags.entities(in: answered.map(\.row.best)).compactMap { entity in
        let own = answered[entity.range]
        guard let first = own.first?.word, let last = own.last?.word else { return nil }
        return [
          "label": .string(tags.types[entity.type]), "start": .int(first.range.lowerBound),
          "end": .int(last.range.upperBound), "text": .string(read.text(from: first, to: last)),
          // The mean probability of the words' tags.
          "score": .double(own.reduce(0) { $0 + $1.row.probability } / Double(own.count)),
        ]
      })
    return answer
  }
}
