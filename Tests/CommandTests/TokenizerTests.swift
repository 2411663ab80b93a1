import Foundation
import Platform
import TestSupport
import Testing

@Suite struct TokenizerTests {
  @Test func `a vocab.txt of BERT's is the tokenizer of a student whose model type has another class`() throws {
    let command = try Command()
    try command.makeToy(steps: 1)
    let settings = ["steps.0.student_base.family=mpnet", "steps.0.output_dir=\(command.path("student"))"]
    let chain = try command.read("toy/toy.yaml")
    try command.write("toy/toy.yaml", String(chain.prefix(upTo: try #require(chain.range(of: "    - step_id: second")).lowerBound)))
    let run = try command.run(["run", "toy/toy.yaml"] + settings.flatMap { ["--set", $0] })
    #expect(run.code == 0, "\(run.said)")
    #expect(try command.read("student/tokenizer_config.json").contains("BertTokenizer"))
    let evaluated = try command.run("evaluate", "student", "--data", "toy/data/validation.tsv")
    #expect(evaluated.code == 0, "\(evaluated.said)")
    // Without that word the file would be read with tokens that it does not have.
    try command.write("student/tokenizer_config.json", "{}")
    let refused = try command.run("evaluate", "student", "--data", "toy/data/validation.tsv")
    #expect(refused.code == 3 && refused.said.contains("\"<s>\" is not in the vocabulary"), "\(refused.said)")
  }

  @Test func `a segment that the model has no row for is refused`() throws {
    let command = try Command()
    try command.makeToy()
    let rows = (0..<16).map { #"{"text": "a good film", "other": "a bad one", "label": \#($0 % 2)}"# }
    try command.write("toy/pairs.jsonl", rows.joined(separator: "\n") + "\n")
    try command.write(
      "toy/pairs.yaml",
      """
      distillation_chain:
        metadata:
          dataset: {train: pairs.jsonl, validation: pairs.jsonl}
          task: {kind: classification, text: text, text_pair: other}
          max_length: 32
        parallel: {threads_per_rank: 1}
        steps:
          - step_id: only
            teacher: null
            student_base: {family: bert, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, type_vocab_size: 1, tokenizer: tokenizer}
            output_dir: \(command.path("toy/out/pairs"))
            hyperparams: {max_steps: 2, batch_size: 8}

      """)
    let result = try command.run("run", "toy/pairs.yaml")
    #expect([3, 4].contains(result.code) && result.said.contains("type_vocab_size"), "\(result.said)")
    #expect(result.said.contains("other"))
  }

  @Test(.enabled(if: Shared.path("data/stories260K/tokenizer.model") != nil, "no stories260K in ../shared"))
  func `a SentencePiece model without tokenizer.json trains a student of another family, and is its tokenizer`() throws
  {
    let command = try Command()
    try command.makeToy()
    let model = try #require(Shared.path("data/stories260K/tokenizer.model"))
    try FileManager.default.createDirectory(atPath: command.path("toy/pieces"), withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: model, toPath: command.path("toy/pieces/tokenizer.model"))
    try command.write("toy/pieces/config.json", #"{"model_type": "mistral"}"#)
    try command.write(
      "toy/pieces/tokenizer_config.json", #"{"tokenizer_class": "LlamaTokenizer", "add_bos_token": true}"#)
    let rows = (0..<16).map { #"{"text": "a good  film \#($0)", "label": \#($0 % 2)}"# }
    try command.write("toy/rows.jsonl", rows.joined(separator: "\n") + "\n")
    try command.write(
      "toy/pieces.yaml",
      """
      distillation_chain:
        metadata:
          dataset: {train: rows.jsonl, validation: rows.jsonl}
          task: {kind: classification, text: text}
          max_length: 32
        parallel: {threads_per_rank: 1}
        steps:
          - step_id: only
            teacher: null
            student_base: {family: bert, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, tokenizer: pieces}
            output_dir: \(command.path("toy/out/pieces"))
            hyperparams: {max_steps: 2, batch_size: 8}

      """)
    try command.succeed("run", "toy/pieces.yaml")
    let settings = try JSON(contentsOf: command.path("toy/out/pieces/tokenizer_config.json"))
    #expect(settings["tokenizer_class"]?.string == "PreTrainedTokenizerFast")
    let again = try command.run("predict", "toy/out/pieces", "--input", "toy/rows.jsonl", "--output", "-")
    #expect(again.code == 0 && again.output.split(separator: "\n").count == 16, "\(again.said)")
    try command.write("toy/out/pieces/tokenizer.model", "damaged")
    let damaged = try command.run("predict", "toy/out/pieces", "--input", "toy/rows.jsonl", "--output", "-")
    #expect(damaged.code == 3 && damaged.said.contains("is not a SentencePiece model"), "\(damaged.said)")
  }
}
