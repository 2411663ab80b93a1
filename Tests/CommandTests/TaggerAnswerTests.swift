import Foundation
import Platform
import Testing

/// The answers of a tagger for words that have no token, that are cut, or that are none.
@Suite(.timeLimit(.minutes(8))) struct TaggerAnswerTests {
  private func tagger() throws -> Command {
    let command = try Command()
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ann", "left", "paris", "for"]
    try command.write("tokenizer/vocab.txt", words.joined(separator: "\n") + "\n")
    let rows = #"{"tokens": ["Ann", "left", "Paris"], "tags": ["B-PER", "O", "B-LOC"]}"# + "\n"
    try command.write("data.jsonl", String(repeating: rows, count: 4))
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata: {dataset: {train: data.jsonl, validation: data.jsonl}, task: token_classification, max_length: 16, seed: 3}
        defaults: {batch_size: 4, max_steps: 40, learning_rate: 1e-2, precision: fp32}
        steps:
          - {step_id: s, teacher: null, output_dir: s, student_base: {family: bert, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, intermediate_size: 32, max_position_embeddings: 16, tokenizer: tokenizer}}
      """)
    let run = try command.run("run", "chain.yaml")
    try #require(run.code == 0, "\(run.said)")
    return command
  }

  private func answers(_ command: Command, _ rows: [String], _ options: [String] = []) throws -> (
    values: [JSON], said: String
  ) {
    try command.write("in.jsonl", rows.map { $0 + "\n" }.joined())
    let said = try command.run(["predict", "s", "--input", "in.jsonl", "--output", "-"] + options)
    try #require(said.code == 0, "\(said.said)")
    return (try Command.values(said.output), said.errors)
  }

  @Test func `every word has its own place in the answer, with null where it has no token`() throws {
    let command = try tagger()
    let words = [#"{"tokens": ["Ann", "\u200b", "left"]}"#, #"{"tokens": ["Ann", "left"]}"#, #"{"tokens": []}"#]
    let texts = [#"{"text": ""}"#, #"{"text": "Ann \u200b left"}"#]
    let read = try answers(command, words).values + answers(command, texts).values
    try #require(read.count == 5)
    let labels = read.map { $0["labels"]?.array ?? [] }
    #expect(labels[0].count == 3 && labels[0][1].isNull && [labels[0][0], labels[0][2]] == labels[1], "\(read)")
    #expect(read[0]["logits"]?.array?[1].isNull == true && read[0]["logits"]?.array?.count == 3)
    #expect(labels[2].isEmpty && labels[3].isEmpty && read[2]["entities"]?.array?.isEmpty == true)
    #expect(labels[4] == labels[0] && read[4]["offsets"]?.text() == "[[0, 3], [4, 5], [6, 10]]", "\(read[4].text())")
  }

  @Test func `words behind a cut have null, which a remark says, also where nothing is left`() throws {
    let command = try tagger()
    let row = #"{"tokens": ["Ann", "left", "for", "Paris"]}"#
    let (read, said) = try answers(command, [row], ["--max-length", "4"])
    let labels = read[0]["labels"]?.array ?? []
    #expect(labels.count == 4 && !labels[1].isNull && labels[2].isNull && labels[3].isNull, "\(read)")
    #expect(said.contains("1 of 1 rows were cut to 4 tokens") && said.contains("have no answer"), "\(said)")
    let refused = try command.run(
      "predict", "s", "--input", "in.jsonl", "--output", "-", "--max-length", "2")
    #expect(refused.code == 2 && refused.errors.contains("leaves none for the text"), "\(refused.said)")
  }

  @Test func `plain text whose lines are words with tags is read as such, with and without the tags`() throws {
    let command = try tagger()
    try command.write("in.txt", "-DOCSTART- -X- O\n\nAnn NNP B-PER\nleft VB O\n\nParis NNP B-LOC\n")
    let said = try command.run("predict", "s", "--input", "in.txt", "--output", "-")
    let counts = try Command.values(said.output).map { $0["labels"]?.array?.count }
    #expect(said.code == 0 && counts == [2, 1], "\(said.said)")
    let measured = try command.run("evaluate", "s", "--data", "in.txt", "--json")
    #expect(try Command.values(measured.output).first?["count"]?.int == 3, "\(measured.said)")
  }
}
