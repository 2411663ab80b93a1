import Foundation
import Platform
import Testing

/// What `status`, `--dry-run` and `run` say about objectives, stages, teachers and checkpoints that have changed.
@Suite struct OutlookTests {
  private static let teachers = "steps.1.teacher=[first, {model: first, name: again, weight: 3}]"
  private static let objectives =
    "steps.1.hyperparams.objectives=[{kind: forward_kl}, {kind: hidden_mse, teacher: again, layers: {1: 2}}]"

  private func toy(_ values: [String]) throws -> Command {
    let command = try Command()
    try command.makeToy(steps: 4)
    try command.shell("sed -i 's/hyperparams: {alpha: 0.3, temperature: 3.0}/hyperparams: {}/' toy/toy.yaml")
    let result = try command.run(["run", "toy/toy.yaml"] + sets(values))
    #expect(result.code == 0, "\(result.said)")
    return command
  }

  private func sets(_ values: [String]) -> [String] { values.flatMap { ["--set", $0] } }

  /// What `status` says about a step.
  private func status(_ command: Command, _ values: [String], step: String = "second") throws -> String {
    let result = try command.run(["status", "toy/toy.yaml"] + sets(values))
    #expect(result.code == 0, "\(result.said)")
    return result.output.split(separator: "\n").first { $0.hasPrefix("step \(step) ") }.map(String.init) ?? ""
  }

  @Test func `changed objectives and teachers are named with old and new values, and new names change nothing`() throws {
    let command = try toy([Self.teachers, Self.objectives])
    let list = "steps.1.hyperparams.objectives="
    for (values, text) in [
      (
        [
          Self.teachers,
          "\(list)[{kind: forward_kl, temperature: 3}, {kind: hidden_mse, teacher: again, layers: {1: 1}}]",
        ],
        "is retrained because objectives.0.temperature 2 → 3, objectives.1.layers.1 2 → 1;"
      ),
      (
        [Self.teachers, "\(list)[{kind: forward_kl}, {kind: hidden_mse, layers: {1: 2}}]"],
        "because objectives.1.teacher again → nothing;"
      ),
      (
        ["steps.1.teacher=[first, {model: first, name: again, weight: 3, parallel: {precision: bf16}}]", Self.objectives],
        "because the precision of the teacher again fp32 → bf16;"
      ),
      (
        ["steps.1.teacher=[first, {model: first, name: again}]", Self.objectives],
        "because the weight of the teacher first 0.25 → 0.5, the weight of the teacher again 0.75 → 0.5;"
      ),
      (
        ["\(list)[{kind: forward_kl}, {kind: hidden_mse, layers: {1: 2}}]"],
        "because objectives.1.teacher again → nothing, the teacher again was removed;"
      ),
    ] {
      let line = try status(command, values)
      #expect(line.contains(text), "\(values): \(line)")
    }
    let renamed = [
      "steps.1.teacher=[{model: first, name: a}, {model: first, name: b, weight: 3}]",
      "\(list)[{kind: forward_kl, name: soft}, {kind: hidden_mse, name: inner, teacher: b, layers: {1: 2}}]",
    ]
    let weights = try command.shell("sha256sum toy/out/second/model.safetensors").output
    let again = try command.run(["run", "toy/toy.yaml"] + sets(renamed))
    #expect(again.code == 0 && again.output.contains("second is committed already"), "\(again.said)")
    #expect(try command.shell("sha256sum toy/out/second/model.safetensors").output == weights)
    #expect(try command.metrics("toy/out/second").count == 4)
  }

  @Test func `a new name of an objective leaves its projection as it is`() throws {
    func student(_ name: String) throws -> String {
      let command = try toy(["steps.1.hyperparams.objectives=[{kind: hidden_mse\(name)}, {kind: forward_kl}]"])
      return try command.shell("sha256sum toy/out/second/model.safetensors").output
    }
    #expect(try student("") == student(", name: inner"))
  }

  @Test func `changed stages are named with old and new values`() throws {
    func stages(_ first: String, _ second: String, _ more: String = "") -> [String] {
      ["steps.1.stages=[{name: inner, hyperparams: {\(first)}}, {name: outer, hyperparams: {\(second)}}\(more)]"]
    }
    let (inner, outer) = ("objectives: [{kind: hidden_mse}]", "objectives: [{kind: forward_kl}]")
    let command = try toy(stages(inner, outer))
    for (values, text) in [
      (
        stages(inner + ", learning_rate: 2e-3", "objectives: [{kind: reverse_kl}]"),
        "because stages.0.learning_rate 0.001 → 0.002, stages.1.objectives.0.kind forward_kl → reverse_kl;"
      ),
      (stages(inner, outer) + ["steps.1.hyperparams.batch_size=8"], "because batch_size 16 → 8;"),
      (
        stages(inner, outer, ", {name: last, hyperparams: {max_steps: 3}}"), "because stages.2 nothing → last (3 steps);"
      ),
    ] {
      let line = try status(command, values)
      #expect(line.contains(text), "\(values): \(line)")
      let dry = try command.run(["run", "toy/toy.yaml", "--dry-run"] + sets(values))
      #expect(dry.code == 0 && dry.output.contains(text), "\(values): \(dry.said)")
    }
    let renamed = try status(command, stages(inner, outer).map { $0.replacingOccurrences(of: "inner", with: "a") })
    #expect(renamed.contains("is committed"), "\(renamed)")
  }

  @Test func `a step with a checkpoint of other values says so, and resumes once they return`() throws {
    let command = try Command()
    try command.makeToy(steps: 4000)
    let saving = ["defaults.save_steps=5", "defaults.evaluation_strategy=steps", "defaults.eval_steps=4000"]
    let running = try command.start(["run", "toy/toy.yaml"] + sets(saving))
    try running.awaitSteps(20, of: "toy/out/first", in: command)
    running.signal(SIGTERM)
    let stopped = running.wait()
    #expect(stopped.code == 75, "\(stopped.said)")
    #expect(try status(command, saving, step: "first").contains("resumes after step"))
    let changed = saving + ["steps.0.hyperparams.learning_rate=2e-3"]
    let line = try status(command, changed, step: "first")
    #expect(line.contains("is trained from the beginning for 4000 steps; the checkpoint after step "), "\(line)")
    #expect(line.contains("is not resumed because learning_rate 0.001 → 0.002; it stays"), "\(line)")
    // A run with the other values that ends without a student keeps it.
    func inputs() throws -> Int {
      Int(try command.shell("ls toy/out/first/training/checkpoints | grep -c inputs").output.filter(\.isNumber)) ?? 0
    }
    let before = try command.metrics("toy/out/first").count
    let other = try command.start(["run", "toy/toy.yaml"] + sets(changed))
    let end = Date() + 60
    // The metrics of the first run stay until the second one has written its own.
    while try Date() < end && (inputs() < 2 || !(1..<before).contains(command.metrics("toy/out/first").count)) {
      usleep(20_000)
    }
    try other.awaitSteps(10, of: "toy/out/first", in: command)
    other.signal(SIGTERM)
    #expect(other.wait().code == 75)
    let both = try status(command, saving, step: "first")
    #expect(both.contains("resumes after step") && both.contains("because learning_rate 0.002 → 0.001"), "\(both)")
    let json = try JSON(parsing: command.run(["status", "toy/toy.yaml", "--json"] + sets(changed)).output)
    let first = try #require(json["steps"]?.array?.first)
    #expect(first["other_checkpoint"]?["reasons"]?.array == ["learning_rate 0.001 → 0.002"], "\(first.text())")
    // Versions before wrote no inputs beside their checkpoints.
    try command.shell("rm toy/out/first/training/checkpoints/inputs-*")
    let unknown = try status(command, saving + ["steps.0.hyperparams.learning_rate=3e-3"], step: "first")
    #expect(unknown.contains("is not resumed: its inputs were others, which it does not record"), "\(unknown)")
  }

  @Test func `a step that a version with other plan digests committed is kept, with its metrics`() throws {
    let command = try toy([Self.teachers, Self.objectives])
    let digest = String(repeating: "0123456789abcdef", count: 4)
    try command.shell(
      "sed -i 's/\"plan\": \"[0-9a-f]*\"/\"plan\": \"\(digest)\"/' toy/out/*/training/{step,owner}.json")
    let metrics = try command.read("toy/out/second/training/metrics.jsonl")
    let again = try command.run(["run", "toy/toy.yaml"] + sets([Self.teachers, Self.objectives]))
    #expect(again.code == 0 && again.output.contains("second is committed already"), "\(again.said)")
    #expect(try command.read("toy/out/second/training/metrics.jsonl") == metrics)
    #expect(try command.read("toy/out/second/training/step.json").contains(digest))
  }
}
