import Foundation
import Testing

/// What a user sees of model directories: heads that do not fit, new ones, and layers of any model.
@Suite struct ModelDirectoryTests {
  /// The toy with its first step trained: a classifier of two classes in toy/out/first.
  private func toy() throws -> Command {
    let command = try Command()
    try command.makeToy(steps: 2)
    let made = try command.run("run", command.path("toy/toy.yaml"))
    #expect(made.code == 0, "\(made.said)")
    return command
  }

  private func chain(_ command: Command, _ name: String, labels: String, _ step: String) throws -> String {
    try command.write(
      "toy/\(name).yaml",
      """
      distillation_chain:
        metadata:
          dataset: data
          task: {kind: classification, text: sentence, label: label, labels: [\(labels)]}
          max_length: 64
        parallel: {threads_per_rank: 1}
        defaults: {batch_size: 16, max_steps: 1, precision: fp32}
        steps:
          - {output_dir: \(command.path("toy/out/\(name)")), \(step)}

      """)
    return command.path("toy/\(name).yaml")
  }

  @Test func `a base of other classes gets a new head, with a warning, and so does one that asks for it`() throws {
    let command = try toy()
    let base = "teacher: null, student_base: \(command.path("toy/out/first"))"
    let other = try chain(command, "other", labels: "negative, neutral, positive", base)
    for arguments in [["run", other, "--dry-run"], ["run", other]] {
      let result = try command.run(arguments)
      #expect(
        result.code == 0 && result.said.contains("the checkpoint's has 2 classes, but the task has 3"),
        "\(result.said)")
    }
    #expect(try command.read("toy/out/other/config.json").contains("neutral"))
    let swapped = try chain(command, "swapped", labels: "positive, negative", base)
    #expect(try command.run("run", swapped).code == 4)
    let new = try chain(command, "new", labels: "positive, negative", base + ", student_init: {head: new}")
    let result = try command.run("run", new)
    #expect(result.code == 0 && result.said.contains("gets a new head: student_init requests it"), "\(result.said)")
  }

  @Test func `layers come from any model that is named, with a teacher or without one`() throws {
    let command = try toy()
    let first = command.path("toy/out/first")
    let step = "teacher: null, student_base: {family: bert}, student_init: {from: \(first), layers: [1]}"
    let result = try command.run("run", try chain(command, "layer", labels: "negative, positive", step))
    #expect(result.code == 0, "\(result.said)")
    #expect(try command.run("inspect", command.path("toy/out/layer")).output.contains("bert L1 H32"))
    let none = "teacher: null, student_base: {family: bert}, student_init: {from: teacher, layers: [1]}"
    let refused = try command.run("run", try chain(command, "none", labels: "negative, positive", none))
    #expect(refused.code == 2 && refused.errors.contains("from: PATH") && refused.errors.contains("alpha: 1"))
  }

  @Test func `a multi-label model teaches no classes, and predict gives its labels with a sigmoid each`() throws {
    let command = try toy()
    let edit = "sed -i 's/single_label_classification/multi_label_classification/' toy/out/first/config.json"
    #expect(try command.shell(edit).code == 0)
    let first = command.path("toy/out/first")
    let step =
      "teacher: \(first), student_base: {family: bert, num_hidden_layers: 1, hidden_size: 16, "
      + "num_attention_heads: 2, intermediate_size: 16}"
    let taught = try command.run("run", try chain(command, "taught", labels: "negative, positive", step))
    #expect(taught.code == 3 && taught.errors.contains("multi-label classifier"), "\(taught.said)")
    let measured = try command.run("evaluate", first, "--data", command.path("toy/data/validation.tsv"))
    #expect(measured.code == 0 && measured.output.contains("micro_f1"), "\(measured.said)")
    try command.write("in.jsonl", "{\"text\": \"a good film\"}\n")
    let predicted = try command.run(
      "predict", first, "--text", "text", "--input", command.path("in.jsonl"), "--output", command.path("out.jsonl"))
    #expect(predicted.code == 0, "\(predicted.said)")
    let row = try JSONSerialization.jsonObject(with: Data(command.read("out.jsonl").utf8)) as? [String: Any]
    let logits = try #require(row?["logits"] as? [Double])
    let probabilities = try #require(row?["probabilities"] as? [Double])
    for (logit, probability) in zip(logits, probabilities) {
      #expect(abs(probability - 1 / (1 + exp(-logit))) < 1e-6)
    }
  }

  @Test func `a teacher's tensors without a place are a warning in every command`() throws {
    let command = try toy()
    let edit = "sed -i 's/\"num_hidden_layers\": 2/\"num_hidden_layers\": 1/' toy/out/first/config.json"
    #expect(try command.shell(edit).code == 0)
    let first = command.path("toy/out/first")
    try command.write("in.jsonl", "{\"text\": \"a good film\"}\n")
    let step =
      "teacher: \(first), allow_untrained_teacher: true, student_base: {family: bert, num_hidden_layers: 1, "
      + "hidden_size: 16, num_attention_heads: 2, intermediate_size: 16}"
    let file = try chain(command, "taught", labels: "negative, positive", step)
    for arguments in [
      ["run", file, "--dry-run"], ["run", file], ["inspect", first],
      ["predict", first, "--input", command.path("in.jsonl"), "--output", command.path("out.jsonl")],
    ] {
      let result = try command.run(arguments)
      #expect(result.code == 0, "\(result.said)")
      #expect(result.said.contains("no place in the model: layer 1 (the configuration has 1 layers)"), "\(result.said)")
    }
  }
}
