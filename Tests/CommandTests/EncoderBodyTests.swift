import Foundation
import Platform
import Testing

/// Encoders whose layers are not BERT's, on several ranks and in every way of training.
@Suite(.enabled(if: Command.hasMPI, "mpirun is missing"))
struct EncoderBodyTests {
  static let bodies = [
    "family: modernbert, intermediate_size: 48, num_hidden_layers: 4, local_attention: 6",
    "family: modernbert, intermediate_size: 48, num_hidden_layers: 3, local_attention: 6, classifier_pooling: mean",
    "family: mpnet, intermediate_size: 64, num_hidden_layers: 3",
  ]

  private func command(_ student: String, _ rest: String = "", objectives: String = "") throws -> Command {
    let command = try Command()
    let rows = (0..<12).map { row -> String in
      let ids = (0..<(3 + row * 5 % 23)).map { String(3 + (row * 31 + $0 * 17) % 57) }
      return "{\"ids\": [\(ids.joined(separator: ", "))], \"label\": \(row % 3)}\n"
    }
    try command.write("rows.jsonl", rows.joined())
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata: {dataset: {train: rows.jsonl, validation: rows.jsonl}, task: {kind: classification}, seed: 1}
        defaults: {learning_rate: 1e-3, max_steps: 3, batch_size: 12, precision: fp32\(rest)}
        steps:
          - {step_id: tuned, teacher: null, student_base: {vocab_size: 60, hidden_size: 32, num_attention_heads: 4, max_position_embeddings: 64, \(student)}, output_dir: teacher}
          - {step_id: taught, teacher: tuned, allow_untrained_teacher: true, student_base: tuned, student_init: {from: tuned, layers: [0, 2]}, output_dir: out\(objectives)}
      """)
    return command
  }

  private func losses(_ command: Command, _ step: String, _ options: [String], ranks: Int) throws -> [Double] {
    for output in ["teacher", "out"] { try command.remove(output) }
    let run = try command.run(["run", "chain.yaml"] + options, ranks: ranks)
    #expect(run.code == 0, "\(options), \(ranks) ranks: \(run.said)")
    return try command.metrics(step).map { $0["loss"] }
  }

  @Test(.timeLimit(.minutes(8)), arguments: bodies)
  func `every way of sharding, recomputation and any number of ranks give the same losses`(body: String) throws {
    let command = try command(body)
    let alone = try losses(command, "out", [], ranks: 1)
    try #require(alone.count == 3)
    for (options, ranks) in [
      (["parallel.student.sharding=none"], 2), (["parallel.student.sharding=gradients"], 2),
      (["parallel.student.sharding=parameters", "defaults.activation_checkpointing=true"], 2),
      (["parallel.student.sharding=parameters"], 3),
    ] {
      let found = try losses(command, "out", options.flatMap { ["--set", $0] }, ranks: ranks)
      try #require(found.count == 3)
      for (a, b) in zip(found, alone) { #expect(abs(a - b) < 1e-4 * b, "\(options): \(found), \(alone)") }
    }
    let rounded = try losses(command, "out", ["--set", "defaults.precision=bf16"], ranks: 2)
    for (a, b) in zip(rounded, alone) { #expect(abs(a - b) < 3e-2 * b, "bf16: \(rounded), \(alone)") }
  }
}
