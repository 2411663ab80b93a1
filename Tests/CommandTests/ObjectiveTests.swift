import Foundation
import Platform
import TestSupport
import Testing

/// Objectives, stages and several teachers as a user of the command meets them.
@Suite struct ObjectiveTests {
  /// The toy with a trained teacher and no objective of its own in the second step.
  private func toy() throws -> Command {
    let command = try Command()
    try command.makeToy(steps: 4)
    try command.shell("sed -i 's/hyperparams: {alpha: 0.3, temperature: 3.0}/hyperparams: {}/' toy/toy.yaml")
    return command
  }

  private func dryRun(_ command: Command, _ values: [String]) throws -> Command.Result {
    try command.run(["run", "toy/toy.yaml", "--dry-run"] + values.flatMap { ["--set", $0] })
  }

  @Test func `what cannot be computed is refused before anything runs, with its key and a remedy`() throws {
    let command = try toy()
    let list = "steps.1.hyperparams.objectives="
    let cases: [(values: [String], parts: [String])] = [
      (["\(list)[{kind: hidden_msee}]"], ["objectives.0.kind", "no objective \"hidden_msee\"", "\"hidden_mse\""]),
      (["\(list)[{weight: 1}]"], ["objectives.0", "has no kind"]),
      (
        ["\(list)[{kind: reverse_kl, skew: 0.1}]"],
        ["objectives.0.skew", "reverse_kl has no option \"skew\"", "skew_forward_kl"]
      ),
      (["\(list)[{kind: hidden_mse, layer: last}]"], ["unknown key", "\"layers\""]),
      (["\(list)[{kind: hidden_mse, layers: {2: 1}}]"], ["objectives.0.layers", "layer 2 of the student", "0 to 1"]),
      (["\(list)[{kind: attention_kl, layers: {1: 9}}]"], ["objectives.0.layers", "layer 9 of the teacher", "1 to 2"]),
      (["\(list)[{kind: hidden_mse, layers: {1: x}}]"], ["objectives.0.layers.1", "whole number"]),
      (
        ["\(list)[{kind: hidden_mse, projection: none}]"],
        ["objectives.0.projection", "16 numbers", "32", "leave projection out"]
      ),
      (["\(list)[{kind: relation_kl, relation_heads: 5}]"], ["objectives.0.relation_heads", "5", "divide"]),
      (["\(list)[{kind: forward_kl, teacher: other}]"], ["objectives.0.teacher", "\"other\"", "first"]),
      (["\(list)[{kind: forward_kl, weight: {from: 1}}]"], ["weight.to", "required"]),
      (["\(list)[{kind: forward_kl, weight: 0}]"], ["nothing is learned"]),
      (["\(list)[]"], ["empty list"]),
      (["\(list)[{kind: forward_kl}]", "steps.1.hyperparams.alpha=0.3"], ["alpha", "together with objectives"]),
      (["steps.1.hyperparams.preset=tinybret"], ["preset", "\"tinybert\""]),
      (["steps.1.combine=sum"], ["steps.1.combine", "one teacher"]),
      (
        ["steps.1.teacher=[first, first]"], ["steps.1.teacher.1", "another teacher"]
      ),
      (
        ["\(list)[{kind: logits_mse}]", "parallel.teacher={payload: top_k, top_k: 1}"],
        ["objectives.0.kind", "logits_mse needs all classes", "top_k"]
      ),
      (
        [
          "steps.1.teacher=[first, {model: first, name: again}]", "parallel.teacher={payload: top_k, top_k: 1}",
          "\(list)[{kind: forward_kl}]",
        ], ["objectives.0.kind", "reads several teachers", "payload: logits or hidden"]
      ),
      (
        [
          "steps.1.teacher=[{model: first, parallel: {payload: top_k, top_k: 1}}, {model: first, name: again}]",
          "\(list)[{kind: reverse_kl, teacher: again}, {kind: forward_kl, teacher: first}]",
        ], ["objectives.1.kind", "together read several teachers", "first gives", "payload: logits or hidden"]
      ),
      (
        [
          "\(list)[{kind: forward_kl, temperature: {from: 4, to: 1}}]",
          "parallel.teacher={payload: top_k, top_k: 1}",
        ], ["objectives.0.temperature", "one temperature"]
      ),
      (
        ["\(list)[{kind: hidden_mse}]", "parallel.teacher={placement: sharded}"],
        ["objectives.0.kind", "inside the teacher", "placement: sharded", "resident"]
      ),
      (
        [
          "steps.1.stages=[{name: a, hyperparams: {precision: fp32}}, {name: b, hyperparams: {precision: bf16}}]"
        ], ["steps.1.stages.1.hyperparams.precision", "first stage"]
      ),
      (["\(list)[{kind: hidden_mse, layers: [1, 2]}]"], ["objectives.0.layers", "is a list", "map"]),
      (["\(list)[{kind: hidden_mse, layers: unifrom}]"], ["objectives.0.layers", "unifrom", "uniform, last, or a map"]),
      (["\(list)[{kind: cross_entropy, teacher: first}]"], ["objectives.0.teacher", "no teacher"]),
      (["\(list)[{kind: forward_kl, name: \"a\\nb\"}]"], ["objectives.0.name", "control character"]),
      (
        ["\(list)[{kind: decoupled_kl, target_weight: 0, rest_weight: 0}]"],
        ["objectives.0.target_weight", "nothing is learned"]
      ),
      (
        ["steps.1.hyperparams.objective={kind: reverse_kl, weight: 3}"], ["objective.weight", "kd_weight"]
      ),
      (["parallel.teacher={top_k: 1}"], ["parallel.teacher.top_k", "payload: logits"]),
      (
        ["steps.1.teacher=[first, {model: first, name: b, parallel: {top_k: 1}}]"],
        ["steps.1.teacher.1.parallel.top_k", "payload: logits"]
      ),
      (
        ["steps.1.teacher=[first, {model: first, name: b}]", "\(list)[{kind: hidden_mse}]"],
        ["steps.1.teacher", "no objective reads the teacher b"]
      ),
      (
        [
          "steps.1.teacher=[first, {model: first, name: b}]", "steps.1.combine=probabilities",
          "\(list)[{kind: logits_mse}]",
        ], ["objectives.0.kind", "compares logits", "combine: logits or sum"]
      ),
      (
        ["defaults.objectives=[{kind: forward_kl}]", "steps.1.hyperparams.temperature=5"],
        ["hyperparams.temperature", "defaults.objectives", "temperatures of their own"]
      ),
      (
        ["defaults.preset=patient", "steps.1.hyperparams.temperature=5"],
        ["hyperparams.temperature", "defaults.preset", "temperatures of their own"]
      ),
      (["steps.1.hyperparams.preset=patient", "parallel.teacher={placement: sharded}"],
        ["steps.1.hyperparams.preset", "the preset patient", "patient_mse", "placement: sharded"]),
    ]
    for (values, parts) in cases {
      let result = try dryRun(command, values)
      #expect(result.code == 2, "\(values): \(result.said)")
      for part in parts {
        #expect(result.errors.lowercased().contains(part.lowercased()), "\(values): \(result.errors)")
      }
      #expect(!command.exists("toy/out"))
    }
  }

  @Test func `values of later stages are checked as those of the first`() throws {
    let command = try toy()
    let stages = "steps.1.stages=[{name: a, hyperparams: {batch_size: 4}}, {name: b, hyperparams: {batch_tokens: 3}}]"
    let result = try dryRun(command, [stages])
    #expect(result.code == 2, "\(result.said)")
    #expect(result.errors.contains("steps.1.stages.1.hyperparams.batch_tokens"), "\(result.errors)")
    #expect(result.errors.contains("is 3, but the longest training example has"), "\(result.errors)")
  }

  @Test(arguments: [
    ("steps.0.hyperparams.preset=tinybert", "steps.0.hyperparams.preset"),
    ("steps.0.hyperparams.preset=minilm", "steps.0.hyperparams.preset"),
    ("steps.0.hyperparams.objective=reverse_kl", "steps.0.hyperparams.objective"),
    ("steps.0.hyperparams.alpha=0", "steps.0.hyperparams.alpha"),
    ("steps.0.hyperparams.objectives=[{kind: forward_kl}]", "steps.0.hyperparams.objectives"),
    ("steps.0.stages=[{hyperparams: {objectives: [{kind: forward_kl}]}}]", "steps.0.stages.0.hyperparams.objectives"),
    (
      "steps.0.stages=[{hyperparams: {objectives: [{kind: cross_entropy}, {kind: reverse_kl}]}}]",
      "steps.0.stages.0.hyperparams.objectives.1.kind"
    ),
    ("defaults.objectives=[{kind: forward_kl}]", "objectives"), ("defaults.preset=tinybert", "preset"),
  ]) func `a step without a teacher has labels to learn from`(value: String, key: String) throws {
    let result = try dryRun(try toy(), [value])
    #expect(result.code == 2, "\(result.said)")
    #expect(result.errors.contains(key) && result.errors.contains("the step has none"), "\(result.errors)")
    #expect(result.errors.contains("Name a teacher"), "\(result.errors)")
  }

  @Test func `defaults with labels and a teacher leave a step without one the labels`() throws {
    let result = try dryRun(try toy(), ["defaults.preset=minilm", "steps.1.hyperparams.preset=null"])
    #expect(result.code == 0 && result.output.contains("1.0 · cross_entropy"), "\(result.said)")
  }

  @Test func `labels that an objective needs are missed before anything runs`() throws {
    let command = try toy()
    try command.shell("sed -i '2s/\\t[^\\t]*$/\\t/' toy/data/train.tsv")
    let decoupled = try dryRun(command, ["steps.1.hyperparams.objectives=[{kind: decoupled_kl}]"])
    #expect(decoupled.code == 3 && decoupled.errors.contains("decoupled_kl needs the label of every row"))
    let teachers = "steps.1.teacher=[first, {model: first, name: again}]"
    let confidence = try dryRun(command, [teachers, "steps.1.combine=confidence"])
    #expect(confidence.code == 3 && confidence.errors.contains("steps.1.combine"), "\(confidence.said)")
  }

  /// The records of the optimizer steps of a step of the toy.
  private func records(_ command: Command, _ step: String) throws -> [JSON] {
    try command.read("toy/out/\(step)/training/metrics.jsonl").split(separator: "\n")
      .map { try JSON(parsing: String($0)) }.filter { $0["event"]?.string == "step" }
  }

  @Test(arguments: ["tinybert", "patient", "distilbert", "minilm"]) func `presets train, and are printed in full`(
    preset: String
  ) throws {
    let command = try toy()
    let result = try command.run("run", "toy/toy.yaml", "--set", "steps.1.hyperparams.preset=\(preset)")
    #expect(result.code == 0, "\(result.said)")
    let records = try records(command, "second")
    let names = records.map { Set(($0["terms"]?.object ?? [:]).keys) }
    let expected: [String: Set<String>] = [
      "tinybert": ["embedding_mse", "hidden_mse", "attention_mse"],
      "patient": ["cross_entropy", "forward_kl", "patient_mse"],
      "distilbert": ["cross_entropy", "forward_kl", "hidden_cosine"],
      "minilm": ["cross_entropy", "forward_kl", "relation_kl"],
    ]
    #expect(names.first == expected[preset])
    #expect(records.allSatisfy { $0["loss"]?.double?.isFinite ?? false })
    if preset == "tinybert" {
      #expect(names.last == ["forward_kl"] && records.count == 8)
      #expect(
        records.map { $0["stage"]?.string } == Array(repeating: "intermediate", count: 4)
          + Array(repeating: "prediction", count: 4))
    }
    // A student of a narrower width than its teacher's: the projections stay behind.
    let weights = try Data(contentsOf: URL(fileURLWithPath: command.path("toy/out/second/model.safetensors")))
    let size = weights.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = String(decoding: weights.dropFirst(8).prefix(size), as: UTF8.self)
    #expect(header.contains("classifier.weight") && !header.contains("objectives."))
    let step = try JSON(parsing: command.read("toy/out/second/training/step.json"))
    #expect(step.text().contains("\"kind\": \"\(preset == "tinybert" ? "hidden_mse" : "forward_kl")\""))
  }

  @Test(.enabled(if: Command.hasMPI)) func `several teachers, each with its own place, teach on two ranks as on one`()
    throws
  {
    var losses: [[Double]] = []
    for ranks in [0, 2] {
      let command = try toy()
      let result = try command.run(
        "run", "toy/toy.yaml", "--set",
        "steps.1.teacher=[first, {model: first, name: again, weight: 3, parallel: {placement: streamed, precision: fp32}}]",
        "--set", "steps.1.combine=probabilities", "--set",
        "steps.1.hyperparams.objectives=[{kind: forward_kl}, {kind: hidden_cosine, teacher: first, name: inside}]",
        ranks: ranks)
      #expect(result.code == 0, "\(result.said)")
      losses.append(
        try records(command, "second").flatMap { record in
          ["forward_kl", "inside"].compactMap { record["terms"]?[$0]?.double }
        })
    }
    #expect(losses[0].count == 8 && losses[1].count == 8)
    for (a, b) in zip(losses[0], losses[1]) { #expect(abs(a - b) <= 1e-4 * max(1e-2, abs(a))) }
  }

  @Test func `a run that stops in a later stage continues there, and comes to the same student`() throws {
    let whole = try toy()
    let stopped = try toy()
    let stages =
      "steps.1.stages=[{name: inner, hyperparams: {objectives: [{kind: hidden_mse}], max_steps: 4}}, "
      + "{name: outer, hyperparams: {objectives: [{kind: forward_kl}, {kind: hidden_mse, projection: always}], "
      + "max_steps: 400, save_steps: 1, evaluation_strategy: steps, eval_steps: 400}}]"
    #expect(try whole.run("run", "toy/toy.yaml", "--set", stages).code == 0)
    // Stopped as soon as the second stage has begun.
    let first = try stopped.shell(
      """
      "$RETORT" run toy/toy.yaml --set "\(stages)" >run.log 2>&1 &
      pid=$!
      for i in $(seq 400); do grep -q 'stage outer begins' run.log && break; sleep 0.02; done
      kill -TERM $pid; wait $pid
      """)
    #expect(first.code == 75 || first.code == 0, "\(first.said)")
    let second = try stopped.run("run", "toy/toy.yaml", "--set", stages)
    #expect(second.code == 0, "\(second.said)")
    let same = try whole.shell(
      "cmp toy/out/second/model.safetensors \(stopped.path("toy/out/second/model.safetensors"))")
    #expect(same.code == 0, "\(same.said)")
    #expect(try records(stopped, "second").count == 404)
  }
}
