import Foundation
import Testing

extension WholeChainTests {
  /// A language model that is stopped in the middle and continues.
  @Suite struct ResumeTests {
    /// Rows that count in steps, and a model that trains long enough to be stopped in the middle.
    private func chain(_ sizes: String) throws -> Command {
      let command = try Command()
      for (split, first) in [("train", 0), ("validation", 5)] {
        let rows = (0..<60).map { row in
          let ids = (0..<12 + row % 9).map { 3 + (row + first + $0 * (1 + row % 3)) % 40 }
          return "{\"ids\": \(ids)}\n"
        }
        try command.write("data/\(split).jsonl", rows.joined())
      }
      try command.write(
        "chain.yaml",
        """
        distillation_chain:
          metadata: {dataset: data, task: language_modeling, max_length: 16}
          defaults: {batch_size: 60, max_steps: 100, learning_rate: 1e-3, precision: fp32, evaluation_strategy: steps, eval_steps: 50}
          steps:
            - step_id: teacher
              teacher: null
              student_base: {\(sizes), vocab_size: 48, hidden_size: 128, num_hidden_layers: 4, num_attention_heads: 4, intermediate_size: 64, max_position_embeddings: 32, eos_token_id: 2}
              output_dir: out

        """)
      return command
    }

    /// The second has matrices that the file stores as their transposes, and dropout.
    @Test(.timeLimit(.minutes(8)), arguments: ["family: llama, num_key_value_heads: 2", "family: gpt2"])
    func `a stopped run continues to the same loss, with another sharding and on another number of ranks`(
      sizes: String
    ) throws {
      let command = try chain(sizes)
      try command.succeed("run", "chain.yaml", ranks: 2)
      let whole = try #require(try command.metrics("out").last)
      #expect(whole.step == 100)
      for (before, from, after, to) in [
        (2, "optimizer", 2, "optimizer"), (2, "parameters", 2, "none"), (1, "none", 2, "parameters"),
      ] {
        let change = "\(before) ranks with \(from), then \(after) with \(to)"
        func run(_ sharding: String) -> [String] {
          ["run", "chain.yaml"]
            + setting("parallel.student.sharding=\(sharding)", "defaults.activation_checkpointing=true")
        }
        try command.remove("out")
        let running = try command.start(run(from), ranks: before)
        try running.awaitSteps(20, of: "out", in: command)
        running.signal(SIGTERM)
        let stopped = running.wait()
        #expect(stopped.code == 75, "\(change): \(stopped.said)")
        try command.succeed(run(to), ranks: after)
        let last = try #require(try command.metrics("out").last)
        #expect(last.step == 100 && abs(last["loss"] - whole["loss"]) < 1e-3 * whole["loss"], "\(change)")
      }
    }
  }
}
