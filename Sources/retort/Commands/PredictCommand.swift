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
      An input line is {"text": "…"}, {"ids": [101, …, 102]} including special tokens, for a tagger also \
      {"tokens": ["Ann", …]}, or the numeric columns of a perceptron. An output line is {"label": 1, \
      "label_name": "positive", "logits": […], "probabilities": […]}; for a \
      multi-label classifier {"labels": […], "logits": […], "probabilities": […]}; for a regression model \
      {"score": 0.7, "logits": […]}; for a tagger {"labels": […], "logits": [[…], …]} of each word or id, and of words \
      {"offsets": [[0, 3], …], "entities": [{"label": "PER", "start": 0, "end": 3, "text": "Ann", "score": 0.98}, …]} \
      with the characters of the text; for an embedder {"embedding": […]}, and of a pair {"embedding_pair": […], \
      "cosine": 0.8} too; for a language model {"logits": […] after the last token, "nll": −log p of the \
      tokens after the first, "tokens": their number}.

      Examples:
        retort predict ./artifacts/step1_mini --input reviews.jsonl --output answers.jsonl
        zcat reviews.jsonl.gz | retort predict ./artifacts/step1_mini --input - --output - | jq .label
      """)

  @OptionGroup var options: ModelOptions
  @Option(
    help: """
      The file to read (jsonl, json, tsv, csv or txt; of a tagger also conll, bio or iob), also as gz; - for standard \
      input (jsonl).
      """)
  var input: String
  @Option(help: "The file to write, one JSON object per line, or - for standard output.") var output: String

  func validate() throws {
    if case .file = try? OutputFile.place(of: output), isSameFile(input, output) {
      throw ValidationError("--output names the input file, which would be lost")
    }
  }

  func run(on communicator: any Communicator) throws {
    try communicator.agree { if communicator.isFirst { try OutputFile.requireWritable(output) } }
    try options.requireApart(output, on: communicator)
    let input = try StreamedInput.resolve(input, on: communicator)
    let (model, tokenizer) = try options.load(on: communicator)
    let (data, words) = try options.open(
      input, label: nil, needsLabels: false, for: model, tokenizer, on: communicator)
    let shards = Sampler.evaluationShards(
      count: data.count, lengths: data.lengths, ranks: communicator.size, batchSize: 64, batchTokens: 4096)
    let answered = try answers(of: model, words, on: communicator)
    var answers: [(Int, String)] = []
    try communicator.agree {
      for samples in shards[communicator.rank] {
        for (sample, answer) in zip(samples, try answered(data.batch(samples))) {
          try requireFinite(answer, sample)
          answers.append((sample, answer.text()))
        }
      }
    }
    let text = answers.map { "\($0.0) \($0.1)\n" }.joined()
    let parts = try communicator.gather(Array(text.utf8))
    try communicator.agree {
      guard let parts else { return }
      try OutputFile.write(ordered(parts, count: data.count), to: output)
    }
  }

  /// A function from a batch to the output of each example; collective.
  private func answers(of model: LoadedModel, _ words: CountedWords?, on communicator: any Communicator) throws
    -> (Batch) throws -> [JSON]
  {
    if let language = model.model as? any LanguageModel {
      let scores = try options.scores(of: language, on: communicator)
      return { scores($0).map(Answers.of) }
    }
    let outputs = try options.logits(of: model.model, on: communicator)
    let answers = Answers(model, words)
    return { try answers.of(outputs($0), $0) }
  }

  /// Throws `.numerical` for an answer that is not finite.
  private func requireFinite(_ answer: JSON, _ sample: Int) throws {
    let logits = answer["logits"]?.array ?? []
    let vectors = ["embedding", "embedding_pair"].flatMap { answer[$0]?.array ?? [] }
    // A word without an answer has null.
    let numbers =
      logits.filter { !$0.isNull }.flatMap { $0.array ?? [$0] } + (answer["nll"].map { [$0] } ?? []) + vectors
    if numbers.allSatisfy({ $0.double?.isFinite == true }) { return }
    throw RetortError(
      .numerical, "the logits of example \(sample + 1) are not all finite", at: input,
      remedy: "check the weights of \(options.model) for NaN, or compute with --precision fp32")
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
