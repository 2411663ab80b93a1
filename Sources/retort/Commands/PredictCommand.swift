import ArgumentParser
import Collectives
import Datasets
import Foundation
import Models
import Platform
import Tensors
import Training

struct PredictCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "predict",
    abstract: "Writes a model's answer for every line of a JSON Lines file, in order.",
    discussion: """
      A line in: {"text": "…"}, {"ids": [101, …, 102]} with special tokens included, or the numeric columns of a \
      perceptron. A line out: {"label": 1, "label_name": "positive", "logits": […], "probabilities": […]}.

      Example:
        retort predict ./artifacts/step1_mini --input reviews.jsonl --output answers.jsonl
      """)

  @OptionGroup var options: ModelOptions
  @Option(help: "The file to read (jsonl, tsv or csv).") var input: String
  @Option(help: "The file to write, a JSON object a line.") var output: String

  func run(on communicator: any Communicator) throws {
    let (model, tokenizer) = try options.load(on: communicator)
    let data = try options.open(
      input, label: nil, needsLabels: false, for: model, tokenizer, on: communicator)
    let shards = Sampler.evaluationShards(
      count: data.count, lengths: data.lengths, ranks: communicator.size, batchSize: 64, batchTokens: 4096)
    let logits = try options.logits(of: model.model, on: communicator)
    var answers: [(Int, String)] = []
    for samples in shards[communicator.rank] {
      let values = logits(data.batch(samples))
      for (row, sample) in samples.enumerated() {
        answers.append((sample, answer(values.rows(row..<row + 1), model.labels)))
      }
    }
    let text = answers.map { "\($0.0) \($0.1)\n" }.joined()
    let parts = try communicator.gather(Array(text.utf8))
    try communicator.agree {
      guard let parts else { return }
      try writeFileAtomically(output, ordered(parts, count: data.count))
    }
  }

  private func answer(_ logits: Tensor, _ labels: LabelNames) -> String {
    let values = logits.array
    let peak = values.max() ?? 0
    let exponentials = values.map { exp(Double($0 - peak)) }
    let sum = exponentials.reduce(0, +)
    let best = Evaluator.largest(logits)
    return JSON.object([
      "label": .int(best), "label_name": .string(labels.names[best]),
      "logits": .array(values.map { .double(Double($0)) }),
      "probabilities": .array(exponentials.map { .double($0 / sum) }),
    ]).text()
  }

  /// The lines of all ranks in the order of the input.
  private func ordered(_ parts: [[UInt8]], count: Int) -> String {
    var lines = [Substring](repeating: "", count: count)
    for part in parts {
      for line in String(decoding: part, as: UTF8.self).split(separator: "\n") {
        guard let space = line.firstIndex(of: " "), let index = Int(line[..<space]) else { continue }
        lines[index] = line[line.index(after: space)...]
      }
    }
    return lines.map { $0 + "\n" }.joined()
  }
}
