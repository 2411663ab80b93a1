import Foundation
import Platform
import Testing

extension WholeChainTests {
  /// `docs/examples/llm-distillation.yaml` unchanged: planned from a `config.json`, and run in miniature.
  @Suite struct LanguageExampleTests {
    @Test(.timeLimit(.minutes(8)))
    func `the example of language models is planned and run as it is`() throws {
      let example = Command.root + "/docs/examples/llm-distillation.yaml"
      let command = try Command()
      for (seed, split) in ["train", "validation"].enumerated() {
        try command.write("data/\(split).jsonl", Numbers.documents(24, seed: seed))
      }
      try command.write(
        "teacher.yaml",
        """
        distillation_chain:
          metadata: {dataset: data, task: {kind: language_modeling}, max_length: 64}
          steps:
            - teacher: null
              student_base: {family: llama, vocab_size: 96, num_hidden_layers: 32, hidden_size: 32, num_attention_heads: 4, num_key_value_heads: 2, intermediate_size: 48, max_position_embeddings: 1024}
              output_dir: teacher
              hyperparams: {batch_size: 8, max_steps: 4, learning_rate: 3e-3}

        """)
      try command.succeed("run", "teacher.yaml", ranks: 2)
      try command.write("sizes/config.json", try command.read("teacher/config.json"))
      let plan = try command.succeed(
        "plan", example, "--cluster", Command.root + "/cluster-configs/laptop.yaml",
        environment: ["TEACHER": command.path("sizes")]
      ).output
      #expect(plan.contains("accumulation 8, 10,000 steps"), "\(plan)")

      let said = try command.succeed(
        ["run", example]
          + setting(
            "steps.0.hyperparams.max_steps=3", "steps.0.hyperparams.batch_size=16",
            "steps.0.hyperparams.logging_steps=1", "steps.0.allow_untrained_teacher=true"),
        ranks: 2,
        environment: [
          "TEACHER": command.path("teacher"), "CORPUS": command.path("data"), "OUT": command.path("half"),
        ]
      ).said
      #expect(said.contains("ce_weight 0.3"), "alpha is not the weight of the task loss: \(said)")
      #expect(try JSON(contentsOf: command.path("half/config.json"))["num_hidden_layers"] == 16)
      let steps = try command.metrics("half")
      #expect(steps.count == 3)
      #expect(steps.contains { $0["kd"] > 0 }, "nothing came from the teacher")
    }
  }
}
