import Foundation
import Platform
import Testing

/// `retort plan` of steps with objectives, stages and several teachers.
@Suite struct PlanObjectiveTests {
  private static let cluster = """
    cluster:
      name: here
      ranks_per_node: 4
      node: {cores: 4, memory: 64GiB, memory_bandwidth: 20GB/s, disk_bandwidth: 1GB/s, gflops_per_core: {fp32: 100}}
      network: {within_node: {bandwidth: 5GB/s, latency: 2us}}

    """

  private static func bert(layers: Int, hidden: Int, heads: Int, vocabulary: Int = 500) -> String {
    """
    {"model_type": "bert", "vocab_size": \(vocabulary), "hidden_size": \(hidden), "num_hidden_layers": \(layers), \
    "num_attention_heads": \(heads), "intermediate_size": \(4 * hidden), "max_position_embeddings": 64}
    """
  }

  private static func llama(layers: Int, hidden: Int) -> String {
    """
    {"model_type": "llama", "vocab_size": 32000, "hidden_size": \(hidden), "num_hidden_layers": \(layers), \
    "num_attention_heads": 32, "intermediate_size": \(3 * hidden), "max_position_embeddings": 512}
    """
  }

  /// Models of a config.json alone: two classifiers as teachers and a smaller one, two language models.
  private func command(task: String = "sst2", teacher: String = "A", student: String = "S") throws -> Command {
    let command = try Command()
    for (name, text) in [
      ("A", Self.bert(layers: 6, hidden: 128, heads: 4)), ("B", Self.bert(layers: 4, hidden: 128, heads: 4)),
      ("S", Self.bert(layers: 2, hidden: 64, heads: 4)), ("L", Self.llama(layers: 32, hidden: 4096)),
      ("K", Self.llama(layers: 4, hidden: 512)),
    ] {
      try command.write("\(name)/config.json", text)
    }
    try command.write("here.yaml", Self.cluster)
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata: {dataset: nowhere, task: \(task), max_length: 32}
        defaults: {batch_size: 16, max_steps: 100}
        steps:
          - {step_id: only, teacher: \(teacher), student_base: \(student), output_dir: out}

      """)
    return command
  }

  private func plan(_ command: Command, _ values: [String]) throws -> JSON {
    let result = try command.run(
      ["plan", "chain.yaml", "--cluster", "here.yaml", "--json"] + values.flatMap { ["--set", $0] })
    #expect(result.code == 0, "\(values): \(result.said)")
    return try #require(try JSON(parsing: result.output)["steps"]?.array?.first)
  }

  @Test func `every stage is planned: steps and times are summed, memory and bytes are those of the largest`() throws {
    let command = try command()
    func stage(_ name: String, _ values: String) -> String { "{name: \(name), hyperparams: {\(values)}}" }
    func alone(_ values: String) throws -> JSON { try #require(plan(command, ["defaults={\(values)}"])["written"]) }
    let (small, large) = ("batch_size: 4, max_steps: 100", "batch_size: 512, max_steps: 900")
    for order in [[small, large], [large, small]] {
      let stages = order.enumerated().map { stage("s\($0)", $1) }.joined(separator: ", ")
      let step = try plan(command, ["steps.0.stages=[\(stages)]"])
      let written = try #require(step["written"])
      #expect(step["steps"]?.int == 1000)
      let (first, second) = (try alone(small), try alone(large))
      #expect(written.number("memory", "total") == second.number("memory", "total"))
      #expect(written.number("node_memory") == second.number("node_memory"))
      #expect(written.number("traffic", "rows") == second.number("traffic", "rows"))
      let total = first.number("total_seconds") + second.number("total_seconds")
      #expect(abs(written.number("total_seconds") / total - 1) < 1e-9)
      #expect(abs(written.number("step_seconds") * 1000 / total - 1) < 1e-9)
      #expect(written["stages"]?.array?.map { $0["stage"]?.string } == ["s0", "s1"])
    }
    let preset = try plan(command, ["steps.0.hyperparams.preset=tinybert"])
    #expect(preset["steps"]?.int == 200)
    let text = try command.run(
      "plan", "chain.yaml", "--cluster", "here.yaml", "--set", "steps.0.hyperparams.preset=tinybert")
    for part in ["stage       intermediate", "stage       prediction", "200 steps in 2 stages"] {
      #expect(text.output.contains(part), "\(text.output)")
    }
  }

  @Test func `every teacher that a stage reads takes its time`() throws {
    let command = try command()
    func seconds(_ values: String...) throws -> (teacher: Double, others: Double, step: Double) {
      let written = try #require(plan(command, values)["written"])
      return (
        written.number("seconds", "teacher"), written.number("seconds", "other_teachers"), written.number("step_seconds")
      )
    }
    let (one, other) = (try seconds(), try seconds("steps.0.teacher=B"))
    let both = try seconds("steps.0.teacher=[A, B]")
    #expect(one.others == 0 && both.teacher == one.teacher && abs(both.others / other.teacher - 1) < 1e-9)
    #expect(abs(both.step / (one.step + other.teacher) - 1) < 1e-9)
    let three = try seconds("steps.0.teacher=[A, B, {model: B, name: again}]")
    #expect(abs(three.others / (2 * other.teacher) - 1) < 1e-9)
    // Objectives that name one of them leave the other without work in that stage.
    func stage(_ teacher: String) -> String {
      "{name: \(teacher), hyperparams: {objectives: [{kind: forward_kl, teacher: \(teacher)}]}}"
    }
    let turns = try plan(command, ["steps.0.teacher=[A, B]", "steps.0.stages=[\(stage("A")), \(stage("B"))]"])
    let total = try #require(turns["written"]).number("total_seconds")
    #expect(abs(total / (100 * (one.step + other.step)) - 1) < 1e-9)
  }

  @Test func `what a run refuses about objectives is refused, with its key and exit code`() throws {
    let classifiers = try command()
    let languages = try command(task: "language_modeling", teacher: "L", student: "K")
    let list = "steps.0.hyperparams.objectives="
    for (command, values, parts) in [
      (classifiers, ["\(list)[{kind: hidden_mse, layers: {9: 9}}]"], ["objectives.0.layers", "layer 9"]),
      (classifiers, ["\(list)[{kind: forward_kl, teacher: x}]"], ["objectives.0.teacher", "\"x\""]),
      (classifiers, ["\(list)[{kind: hidden_mse, projection: none}]"], ["objectives.0.projection", "64", "128"]),
      (classifiers, ["\(list)[{kind: relation_kl, relation_heads: 3}]"], ["objectives.0.relation_heads"]),
      (
        classifiers, ["\(list)[{kind: hidden_mse}]", "parallel.teacher={placement: streamed}"],
        ["objectives.0.kind", "placement: streamed"]
      ),
      (
        classifiers,
        ["steps.0.stages=[{hyperparams: {objectives: [{kind: forward_kl}]}}, {hyperparams: {objectives: [{kind: hidden_mse, layers: {3: 1}}]}}]"],
        ["stages.1.hyperparams.objectives.0.layers"]
      ),
      (
        languages, ["\(list)[{kind: logits_mse}]", "parallel.teacher={payload: top_k, placement: sharded}"],
        ["objectives.0.kind", "top_k"]
      ),
      (languages, ["\(list)[{kind: decoupled_kl}]"], ["objectives.0.kind", "classifiers"]),
      (
        classifiers, ["steps.0.teacher=[A, B]", "parallel.teacher={placement: dedicated, ranks: 2}"],
        ["4 ranks would only teach", "at least one must train"]
      ),
    ] {
      let result = try command.run(
        ["plan", "chain.yaml", "--cluster", "here.yaml"] + values.flatMap { ["--set", $0] })
      #expect(result.code == 2, "\(values): \(result.said)")
      for part in parts { #expect(result.errors.contains(part), "\(values): \(result.errors)") }
    }
  }

  @Test func `no placement or payload is offered that the objectives refuse`() throws {
    let command = try command(task: "language_modeling", teacher: "L", student: "K")
    func offered(_ objectives: String) throws -> (placements: Set<String>, payloads: Set<String>) {
      let step = try plan(command, ["steps.0.hyperparams.objectives=[\(objectives)]"])
      let teachers = (step["layouts"]?.array ?? []).compactMap { $0["layout"]?["teacher"] }
      return (
        Set(teachers.compactMap { $0["placement"]?.string }), Set(teachers.compactMap { $0["payload"]?.string })
      )
    }
    let all = try offered("{kind: forward_kl}")
    #expect(all.placements == ["resident", "streamed", "sharded", "dedicated"])
    #expect(all.payloads == ["logits", "hidden", "top_k"])
    #expect(try offered("{kind: hidden_mse}, {kind: forward_kl}").placements == ["resident"])
    #expect(try offered("{kind: logits_mse}").payloads == ["logits", "hidden"])
    #expect(try offered("{kind: forward_kl, temperature: {from: 3, to: 1}}").payloads == ["logits", "hidden"])
  }

  @Test func `teachers with other tokenizers are refused for inner objectives`() throws {
    let command = try Command()
    try command.makeToy()
    try command.write("here.yaml", Self.cluster)
    try command.shell(
      "cp -r toy/tokenizer toy/other && (cat toy/tokenizer/vocab.txt; echo another) > toy/other/vocab.txt")
    let base = "{family: bert, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, intermediate_size: 32"
    for (objective, code) in [("hidden_mse", 2 as Int32), ("pooled_mse", 0)] {
      let result = try command.run(
        "plan", "toy/toy.yaml", "--cluster", "here.yaml", "--set",
        "steps.1.student_base=\(base), tokenizer: other}", "--set",
        "steps.1.hyperparams={objectives: [{kind: \(objective)}]}")
      #expect(result.code == code, "\(objective): \(result.said)")
      #expect(code == 0 || result.errors.contains("another tokenizer"), "\(result.errors)")
    }
  }
}
