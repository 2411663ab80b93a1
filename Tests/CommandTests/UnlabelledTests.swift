import Foundation
import Testing

/// Rows without a label, through the whole command.
@Suite struct UnlabelledTests {
  /// The toy of two steps, with every `keeping`-th label left in its files.
  private func toy(keeping: Int = 1) throws -> Command {
    let command = try Command()
    try command.makeToy(steps: 4, train: 32, validation: 16)
    for split in ["train", "validation"] { try strip(command, split, keeping: keeping) }
    return command
  }

  /// The rows of a split of the toy, without its header.
  private func rows(_ command: Command, _ split: String) throws -> [(sentence: String, label: String)] {
    try command.read("toy/data/\(split).tsv").split(separator: "\n").dropFirst().map {
      let fields = $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      return (fields[0], fields[1])
    }
  }

  private func strip(_ command: Command, _ split: String, keeping: Int) throws {
    let lines = try rows(command, split).enumerated().map { "\($1.sentence)\t\($0 % keeping == 0 ? $1.label : "")\n" }
    try command.write("toy/data/\(split).tsv", "sentence\tlabel\n" + lines.joined())
  }

  /// Splits without any label, as tables without its column and as JSON Lines.
  private func writeUnlabelled(_ command: Command) throws {
    for split in ["train", "validation"] {
      let sentences = try rows(command, split).map(\.sentence)
      try command.write("bare/\(split).tsv", (["sentence"] + sentences).map { "\($0)\n" }.joined())
      let lines = sentences.map { "{\"sentence\": \"\($0.replacingOccurrences(of: "\"", with: "\\\""))\"}\n" }
      try command.write("lines/\(split).jsonl", lines.joined())
    }
  }

  private func chain(
    _ command: Command, dataset: String, task: String = "{text: sentence}", teacher: String = "toy/out/first",
    values: String = "alpha: 0"
  ) throws {
    try command.write(
      "c.yaml",
      """
      distillation_chain:
        metadata: {dataset: \(dataset), task: \(task), max_length: 64}
        parallel: {threads_per_rank: 1}
        defaults: {batch_size: 8, max_steps: 4, precision: fp32, \(values)}
        steps:
          - step_id: s
            teacher: \(teacher)
            student_base: {family: bert, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, tokenizer: toy/tokenizer}
            output_dir: \(command.path("out"))
            allow_untrained_teacher: true

      """)
  }

  private func evaluations(_ command: Command, _ directory: String) throws -> [[String: Any]] {
    try command.read("\(directory)/training/metrics.jsonl").split(separator: "\n")
      .compactMap { try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] }
      .filter { $0["event"] as? String == "evaluation" }
  }

  /// Whether one line of the output has all of some texts.
  private func said(_ run: Command.Result, _ texts: String...) -> Bool {
    run.output.split(separator: "\n").contains { line in texts.allSatisfy(line.contains) }
  }

  @Test func `a chain trains and evaluates with every other label missing, and says how many are`() throws {
    let command = try toy(keeping: 2)
    let run = try command.run("run", "toy/toy.yaml")
    #expect(run.code == 0, "\(run.said)")
    #expect(said(run, "16 of 32 rows of", "train.tsv have no label: they take part in every term but cross_entropy"))
    #expect(said(run, "8 of 16 rows of", "validation.tsv have no label: the figures cover only the others"))
    for step in ["first", "second"] {
      #expect(try evaluations(command, "toy/out/\(step)").allSatisfy { $0["count"] as? Int == 8 })
    }
    let result = try command.run("evaluate", "toy/out/second", "--data", "toy/data/validation.tsv", "--json")
    #expect(result.code == 0 && result.output.contains("\"count\": 8"), "\(result.said)")
    #expect(result.errors.contains("8 of 16 rows of toy/data/validation.tsv have no label: the figures cover only the others"))
    let again = try command.run("run", "toy/toy.yaml")
    #expect(again.code == 0 && again.output.contains("is committed already"), "\(again.said)")
  }

  @Test(.enabled(if: Command.hasMPI)) func `two ranks count the same labels`() throws {
    let command = try toy(keeping: 3)
    let run = try command.run("run", "toy/toy.yaml", ranks: 2)
    #expect(run.code == 0, "\(run.said)")
    #expect(said(run, "21 of 32 rows of", "train.tsv have no label"))
    #expect(try evaluations(command, "toy/out/second").allSatisfy { $0["count"] as? Int == 6 })
  }

  @Test func `a chain without any label trains by its teacher, and its student is the last one`() throws {
    let command = try toy()
    try writeUnlabelled(command)
    #expect(try command.run("run", "toy/toy.yaml").code == 0)
    for (dataset, task) in [("bare", "{text: sentence, label: null}"), ("lines", "{text: sentence, label: label}")] {
      try command.shell("rm -rf out")
      try chain(command, dataset: dataset, task: task)
      let run = try command.run("run", "c.yaml")
      #expect(run.code == 0, "\(run.said)")
      #expect(said(run, "none of the 32 rows of", "\(dataset)/train.", "has a label"))
      #expect(run.output.components(separatedBy: "the student is the one after the last step").count == 2)
      #expect(run.output.contains("the teacher toy/out/first is not checked"))
      let last = try #require(try evaluations(command, "out").last)
      #expect(last["value"] is NSNull && last["accuracy"] is NSNull && last["loss"] is NSNull)
      #expect(last["count"] as? Int == 0 && last["best"] as? Bool == true && last["step"] as? Int == 4)
      let record = try command.read("out/training/step.json")
      #expect(record.contains("\"best_step\": 4"), "\(record)")
      let again = try command.run("run", "c.yaml")
      #expect(again.code == 0 && again.output.contains("is committed already"), "\(again.said)")
      // The student knows its classes from the teacher, and reads labels where there are some.
      let known = try command.run("evaluate", "out", "--data", "toy/data/validation.tsv", "--json")
      #expect(known.code == 0 && known.output.contains("\"count\": 16"), "\(known.said)")
    }
    let none = try command.run("evaluate", "out", "--data", "lines/validation.jsonl")
    #expect(none.code == 3 && none.errors.contains("no row has a label"), "\(none.said)")
  }

  @Test func `labels of the validation split alone choose the best student`() throws {
    let command = try toy()
    try writeUnlabelled(command)
    #expect(try command.run("run", "toy/toy.yaml").code == 0)
    try chain(
      command, dataset: "{train: bare/train.tsv, validation: toy/data/validation.tsv}",
      task: "{text: sentence, label: null}", values: "alpha: 0, early_stopping_patience: 2")
    let run = try command.run("run", "c.yaml")
    #expect(run.code == 0, "\(run.said)")
    #expect(!run.output.contains("after the last step"))
    #expect(try evaluations(command, "out").allSatisfy { $0["count"] as? Int == 16 && $0["value"] is Double })
  }

  @Test func `what needs a label that no row has is refused before anything runs`() throws {
    let command = try toy()
    try writeUnlabelled(command)
    #expect(try command.run("run", "toy/toy.yaml").code == 0)
    let unread = "{text: sentence, label: null}"
    func refusal(_ code: Int32, _ text: String...) throws {
      let run = try command.run("run", "c.yaml")
      #expect(run.code == code && text.allSatisfy { run.errors.contains($0) }, "\(run.said)")
      #expect(!command.exists("out"))
    }
    try chain(command, dataset: "bare")
    try refusal(3, "bare/train.tsv", "there is no column \"label\"", "task: {label: null}")
    try chain(command, dataset: "bare", task: unread, values: "alpha: 1")
    try refusal(3, "c.yaml", "hyperparams.alpha", "cross_entropy needs a label")
    try chain(command, dataset: "bare", task: "{text: sentence, label: null, labels: [no, yes]}", teacher: "null")
    try refusal(3, "steps.0.teacher", "cross_entropy needs a label", "has no teacher")
    try chain(command, dataset: "bare", task: unread, teacher: "null")
    try refusal(3, "says which classes there are", "task: {labels: [")
    try chain(command, dataset: "bare", task: unread, values: "alpha: 0, early_stopping_patience: 3")
    try refusal(2, "early_stopping_patience", "no row of the validation data has a label")
    // A weight that counts for nothing is a warning.
    try chain(command, dataset: "bare", task: unread, values: "alpha: 0.5")
    let plan = try command.run("run", "c.yaml", "--dry-run")
    #expect(plan.code == 0 && plan.output.contains("adds nothing to the loss"), "\(plan.said)")
    #expect(plan.output.contains("32 examples (32 without a label) for training"))
    // Present and wrong.
    try command.write("toy/data/train.tsv", "sentence\tlabel\ngood\t\nbad\t0\nfine\tso so\n")
    try chain(command, dataset: "toy/data")
    try refusal(3, "toy/data/train.tsv:4", "\"so so\"")
    try command.write("slip.jsonl", "{\"sentence\": \"a\", \"label\": 1}\n{\"sentence\": \"b\", \"lable\": 0}\n")
    try chain(command, dataset: "{train: slip.jsonl, validation: slip.jsonl}")
    try refusal(3, "slip.jsonl:2", "a field \"lable\" that looks like it")
  }

  @Test func `rows of numbers may be without a label too`() throws {
    let command = try Command()
    let rows = (0..<24).map { "\($0 % 5),\($0 % 3 == 0 ? "" : $0 % 2 == 0 ? "low" : "high"),\($0 * 7 % 11)\n" }
    try command.write("a.csv", "x,label,y\n" + rows.joined())
    try command.write(
      "c.yaml",
      """
      distillation_chain:
        metadata: {dataset: {train: a.csv, validation: {share: 0.5}}, task: features}
        parallel: {threads_per_rank: 1}
        defaults: {batch_size: 4, max_steps: 2}
        steps:
          - {step_id: s, student_base: {family: perceptron, hidden_sizes: [4], input_size: 2}, output_dir: \(command.path("out"))}

      """)
    let run = try command.run("run", "c.yaml")
    #expect(run.code == 0 && run.output.contains("a.csv have no label: they take part"), "\(run.said)")
    let result = try command.run("evaluate", "out", "--data", "a.csv", "--json")
    #expect(result.code == 0 && result.output.contains("\"count\": 16"), "\(result.said)")
    let predicted = try command.run("predict", "out", "--input", "a.csv", "--output", "p.jsonl")
    #expect(predicted.code == 0, "\(predicted.said)")
    #expect(try command.read("p.jsonl").split(separator: "\n").count == 24)
  }
}
