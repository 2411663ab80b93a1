import Foundation
import Testing

/// Which columns are texts and labels, and what is said where a file could be meant otherwise.
@Suite struct ColumnTests {
  private func chain(_ command: Command, _ dataset: String, _ task: String) throws {
    try command.write(
      "c.yaml",
      """
      distillation_chain:
        metadata: {dataset: \(dataset), task: \(task), max_length: 32}
        parallel: {threads_per_rank: 1}
        defaults: {batch_size: 4, max_steps: 1, precision: fp32}
        steps:
          - step_id: s
            teacher: null
            student_base: {family: bert, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, tokenizer: toy/tokenizer}
            output_dir: \(command.path("out"))

      """)
  }

  private func command() throws -> Command {
    let command = try Command()
    try command.makeToy(train: 8, validation: 8)
    return command
  }

  @Test func `a student that learnt labels from 1 reads them so where no row has the largest`() throws {
    let command = try command()
    try command.write("a.csv", (0..<8).map { "\($0 % 4 + 1),title \($0),text\n" }.joined())
    try chain(command, "{train: a.csv, validation: {share: 0.5}}", "ag_news")
    let run = try command.run("run", "c.yaml")
    #expect(run.code == 0, "\(run.said)")
    try command.write("b.csv", "1,one,text\n3,three,text\n")
    let result = try command.run("evaluate", "out", "--data", "b.csv", "--json")
    #expect(result.errors.contains("count from 1"), "\(result.said)")
    // Rows of the confusion are the labels: classes 0 and 2.
    let part = try #require(result.output.components(separatedBy: "\"confusion\": [").last).prefix { $0 != "]" }
    let counts = part.split(separator: ",").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
    #expect(counts.count == 16 && counts[0..<4].reduce(0, +) == 1 && counts[8..<12].reduce(0, +) == 1, "\(part)")
    // A header in another spelling is one.
    try command.write("k.csv", "Class Index,Title,Description\n2,a title,a text\n")
    let headed = try command.run("predict", "out", "--input", "k.csv", "--output", "-", "--text", "Title,Description")
    #expect(headed.code == 0 && headed.output.split(separator: "\n").count == 1, "\(headed.said)")
  }

  @Test func `a header under other names for the columns is refused, and so is an output in the model`() throws {
    let command = try command()
    let trained = try command.run("run", "toy/toy.yaml")
    #expect(trained.code == 0, "\(trained.said)")
    try command.write("a.csv", "label,sentence\n1,the film\n")
    let swapped = try command.run(
      "predict", "toy/out/first", "--input", "a.csv", "--columns", "sentence,label", "--output", "-")
    #expect(swapped.code == 3 && swapped.errors.contains("the file has a header"), "\(swapped.said)")
    try command.shell("ln -s toy/out/first/model.safetensors link; cp toy/out/first/model.safetensors before")
    for output in ["toy/out/first/model.safetensors", "link"] {
      let lost = try command.run("predict", "toy/out/first", "--input", "a.csv", "--output", output)
      #expect(lost.code == 2 && lost.errors.contains("is a file of the model itself"), "\(lost.said)")
    }
    #expect(try command.shell("cmp before toy/out/first/model.safetensors").code == 0)
    try command.write("s.csv", "sentence;label\nx;1\n")
    let mark = try command.run("predict", "toy/out/first", "--input", "s.csv", "--output", "-")
    #expect(mark.code == 3 && mark.errors.contains("semicolons"), "\(mark.said)")
    try command.write("q.jsonl", "{\"question\": \"a\", \"sentence\": \"b\"}\n")
    let second = try command.run("predict", "toy/out/first", "--input", "q.jsonl", "--output", "-")
    #expect(second.code == 0 && second.errors.contains("the column \"question\" is not read"), "\(second.said)")
  }

  @Test func `a pair of one column twice, a file in place of a directory and a single class are refused`() throws {
    let command = try command()
    let rows = (0..<4).map { "{\"premise\": \"a\", \"hypothesis\": \"b\", \"label\": \($0 % 2)}\n" }.joined()
    try command.write("p.jsonl", rows)
    let task = "{kind: classification, text: premise, text_pair: hypothesis}"
    try chain(command, "{train: p.jsonl, validation: p.jsonl}", task)
    let run = try command.run("run", "c.yaml")
    #expect(run.code == 0 && run.said.contains("both training and validation data"), "\(run.said)")
    let twice = try command.run("predict", "out", "--input", "p.jsonl", "--output", "-", "--text", "hypothesis")
    #expect(twice.code == 3 && twice.errors.contains("both texts of a pair"), "\(twice.said)")
    try chain(command, "p.jsonl", task)
    let file = try command.run("run", "c.yaml")
    #expect(file.code == 3 && file.errors.contains("is a file"), "\(file.said)")
    try command.write("one.csv", "text,label\na,x\nb,x\n")
    try chain(command, "{train: one.csv, validation: one.csv}", "classification")
    let one = try command.run("run", "c.yaml")
    #expect(one.code == 3 && one.errors.contains("every label is \"x\""), "\(one.said)")
    #expect(one.errors.contains("one.csv:") || one.errors.contains("one.csv"), "\(one.said)")
  }
}
