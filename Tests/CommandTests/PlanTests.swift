import Foundation
import Platform
import Testing

/// `retort plan`: what it says, what it refuses, and how near a run on two ranks comes to it.
extension WholeChainTests {
  @Suite struct PlanTests {
    private static let configs = Command.root + "/cluster-configs"
    private static let experiment = configs + "/experiments/70b-to-7b/chain.yaml"
    private static let laptop = configs + "/laptop.yaml"

    @Test(.timeLimit(.minutes(6)))
    func `the plan of 70B to 7B names the sizes, what fits and what limits`() throws {
      let command = try Command()
      let cluster = Self.configs + "/nodes-32-infiniband.yaml"
      let said = try command.succeed("plan", Self.experiment, "--cluster", cluster)
      for text in ["6,738,415,616 parameters", "68,976,648,192 parameters", "recommended: ", "bottleneck"] {
        #expect(said.output.contains(text), "\(said.output)")
      }
      // A node has the student's weights once, unless nothing is sharded.
      #expect(!said.output.contains("does not fit"), "\(said.output)")
      let whole = try command.succeed(
        "plan", Self.experiment, "--cluster", cluster, "--set", "parallel.student.sharding=none")
      #expect(whole.output.contains("does not fit"), "\(whole.output)")
    }

    @Test(.timeLimit(.minutes(6)))
    func `what cannot be planned is refused`() throws {
      let command = try Command()
      try command.expectRefusal(4, "fits in no layout", "plan", Self.experiment, "--cluster", Self.laptop)
      try command.expectRefusal(
        3, "no model directory \"gone\"", "plan", Self.experiment, "--cluster", Self.laptop, "--set",
        "steps.0.teacher=gone")
      let teacher = try String(
        contentsOfFile: Self.configs + "/experiments/70b-to-7b/llama-2-70b/config.json", encoding: .utf8)
      try command.write(
        "other/config.json", teacher.replacing(/"vocab_size": *[0-9]*/, with: "\"vocab_size\": 128256"))
      try command.expectRefusal(
        4, "of 128256 tokens, the student", "plan", Self.experiment, "--cluster", Self.laptop, "--set",
        "steps.0.teacher=\(command.path("other"))")
      try command.expectRefusal(
        2, "8 ranks are requested", "plan", Self.experiment, "--cluster", Self.laptop, "--ranks", "8")
      let cluster = try String(contentsOfFile: Self.laptop, encoding: .utf8)
      try command.write("typo.yaml", cluster.replacingOccurrences(of: "cores: 8", with: "kores: 8"))
      try command.expectRefusal(
        2, "did you mean \"cores\"", "plan", Self.experiment, "--cluster", "typo.yaml")
    }

    /// Data, a cluster of two ranks, and a comparison of runs with their plans.
    private struct Planned {
      let command: Command
      private static let cluster = """
        cluster:
          name: here
          ranks_per_node: 2
          node: {cores: 2, memory: 16GiB, memory_bandwidth: 20GB/s, disk_bandwidth: 1GB/s, gflops_per_core: {fp32: 100, bf16: 200}}
          network: {within_node: {bandwidth: 5GB/s, latency: 2us}}

        """

      init(_ chains: [String: String]) throws {
        command = try Command()
        try command.write("here.yaml", Self.cluster)
        for (name, text) in chains { try command.write(name, text) }
      }

      /// What the plan says of the last step as it is written, and what `step.json` of a run on two ranks says.
      func compare(_ chain: String, _ output: String, _ values: [String]) throws -> (plan: JSON, run: JSON) {
        try command.remove(output)
        let said = try command.succeed(["plan", chain, "--cluster", "here.yaml", "--json"] + values).output
        let step = try #require(try JSON(parsing: said)["steps"]?.array?.last)
        try command.succeed(["run", chain] + values, ranks: 2, limit: 300)
        return (try #require(step["written"]), try #require(try command.stepJSON(output)["results"]))
      }

      /// Expects the peak of a rank's memory within 15 % of the plan.
      static func expectMemory(_ pair: (plan: JSON, run: JSON), _ name: String) {
        let (planned, peak) = (pair.plan.number("memory", "total"), pair.run.number("peak_memory"))
        #expect(peak / planned > 0.85 && peak / planned < 1.15, "\(name): \(peak) bytes, planned \(planned)")
      }
    }

    /// Rows of equal length, so that the plan knows all passes.
    private static func classified() throws -> [String: String] {
      var files: [String: String] = [:]
      for (seed, split) in ["train", "dev"].enumerated() {
        var random = Numbers(seed)
        files["data/\(split).jsonl"] = (0..<64).map { row in
          let ids = (0..<62).map { _ in 10 + row % 2 * 20 + random.next(below: 1900) }
          return "{\"label\": \(row % 2), \"ids\": \([2] + ids + [3])}\n"
        }.joined()
      }
      return files
    }

    @Test(.timeLimit(.minutes(8)), arguments: ["none", "optimizer", "gradients", "parameters"])
    func `a run sends the bytes that were planned and has the memory that was planned`(sharding: String) throws {
      let chain = """
        distillation_chain:
          metadata: {dataset: data, task: {kind: classification, label: label}, max_length: 64}
          steps:
            - step_id: only
              student_base: {family: bert, vocab_size: 2000, num_hidden_layers: 8, hidden_size: 512, num_attention_heads: 8, intermediate_size: 2048, max_position_embeddings: 64}
              output_dir: out
              hyperparams: {batch_size: 16, max_steps: 3, save_steps: 1, precision: fp32, learning_rate: 1e-5}

        """
      let planned = try Planned(Self.classified().merging(["chain.yaml": chain]) { $1 })
      let pair = try planned.compare("chain.yaml", "out", setting("parallel.student.sharding=\(sharding)"))
      for kind in ["gradients", "weights"] {
        #expect(pair.run.number("sent_bytes", kind) == pair.plan.number("traffic", kind), "\(kind)")
      }
      Planned.expectMemory(pair, sharding)
    }

    @Test(.timeLimit(.minutes(6)))
    func `a teacher in two parts sends the bytes that were planned`() throws {
      let chain = """
        distillation_chain:
          metadata: {dataset: data, task: {kind: classification, label: label}, max_length: 64}
          defaults: {batch_size: 16, max_steps: 3, save_steps: 1, precision: fp32, learning_rate: 1e-4}
          steps:
            - step_id: teacher
              teacher: null
              student_base: {family: bert, vocab_size: 2000, num_hidden_layers: 4, hidden_size: 128, num_attention_heads: 4, intermediate_size: 256, max_position_embeddings: 64}
              output_dir: teacher
            - step_id: taught
              allow_untrained_teacher: true
              student_base: {family: bert, vocab_size: 2000, num_hidden_layers: 2, hidden_size: 64, num_attention_heads: 2, intermediate_size: 128, max_position_embeddings: 64}
              output_dir: taught

        """
      let planned = try Planned(Self.classified().merging(["taught.yaml": chain]) { $1 })
      for (split, inside) in [("tensor", "sums"), ("pipeline", "boundaries")] {
        for payload in ["logits", "hidden"] {
          let pair = try planned.compare(
            "taught.yaml", "taught",
            setting(
              "parallel.teacher.placement=sharded", "parallel.teacher.sharding=\(split)",
              "parallel.teacher.payload=\(payload)"))
          func traffic(_ key: String) -> Double { pair.plan.number("traffic", key) }
          func measured(_ key: String) -> Double { pair.run.number("teacher_placement", key) }
          // Two ranks and 16 rows of 64 tokens an optimizer step; the measurement covers all rows of the run.
          let rows = measured("rows")
          #expect(measured("inner_bytes") / rows / 64 == 2 * traffic(inside) / 16 / 64, "\(split) \(payload)")
          #expect(measured("sent_bytes") / rows == 2 * traffic("signals") / 16, "\(split) \(payload)")
        }
      }
    }

    /// A rank has a resident teacher in memory as a whole or one matrix at a time, depending on the system's page cache,
    /// so there are two possible plans; the teachers here have one.
    @Test(.timeLimit(.minutes(15)))
    func `language models have the memory that was planned, with every teacher placement`() throws {
      var files: [String: String] = [:]
      for (seed, split) in ["train", "validation"].enumerated() {
        var random = Numbers(seed)
        files["documents/\(split).jsonl"] = (0..<32).map { _ in
          "{\"ids\": \([5] + (0..<255).map { _ in 10 + random.next(below: 7900) })}\n"
        }.joined()
      }
      files["tutor.yaml"] = """
        distillation_chain:
          metadata: {dataset: documents, task: {kind: language_modeling}, max_length: 256}
          steps:
            - teacher: null
              student_base: {family: llama, vocab_size: 8000, num_hidden_layers: 12, hidden_size: 512, num_attention_heads: 8, num_key_value_heads: 4, intermediate_size: 1408, max_position_embeddings: 256}
              output_dir: tutor
              hyperparams: {batch_size: 16, max_steps: 1, learning_rate: 1e-4}

        """
      files["pupil.yaml"] = """
        distillation_chain:
          metadata: {dataset: documents, task: {kind: language_modeling}, max_length: 256}
          defaults: {batch_size: 16, max_steps: 2, save_steps: 1, learning_rate: 1e-4}
          steps:
            - teacher: tutor
              allow_untrained_teacher: true
              student_base: {family: llama, vocab_size: 8000, num_hidden_layers: 6, hidden_size: 384, num_attention_heads: 6, intermediate_size: 1024, max_position_embeddings: 256, tie_word_embeddings: true}
              output_dir: pupil

        """
      let planned = try Planned(files)
      try planned.command.succeed("run", "tutor.yaml", ranks: 2, limit: 300)
      for (placement, split, payload, sharding, recomputes) in [
        ("sharded", "tensor", "logits", "optimizer", false), ("sharded", "pipeline", "hidden", "gradients", true),
        ("dedicated", "tensor", "logits", "none", false), ("streamed", "tensor", "logits", "optimizer", true),
        ("streamed", "tensor", "logits", "parameters", false),
      ] {
        let pair = try planned.compare(
          "pupil.yaml", "pupil",
          setting(
            "parallel.teacher.placement=\(placement)", "parallel.teacher.sharding=\(split)",
            "parallel.teacher.payload=\(payload)", "parallel.student.sharding=\(sharding)", "defaults.precision=fp32",
            "defaults.activation_checkpointing=\(recomputes)"))
        Planned.expectMemory(pair, "\(placement) \(split) \(payload), student \(sharding), recomputed \(recomputes)")
      }
    }
  }
}
