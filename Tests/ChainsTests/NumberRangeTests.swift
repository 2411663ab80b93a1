import Foundation
import Planner
import Platform
import Testing

@testable import Chains

/// Every number that a chain file or a cluster description has, with values that people and generators of files write.
@Suite struct NumberRangeTests {
  static let values = [
    "0", "-1", "1", "1e13", "2147483647", "2147483648", "9223372036854775807", "18446744073709551616", "1e300",
    "1e-300",
    ".nan", ".inf", "-.inf", "0.5", "abc", "\"\"", "[1]", "{a: 1}", "0x10", "1_000", "1__0", "١",
  ]

  private static let hyperparameters = [
    "learning_rate", "num_train_epochs", "max_steps", "batch_size", "batch_tokens", "gradient_accumulation_steps",
    "alpha", "ce_weight", "kd_weight", "temperature", "warmup_steps", "warmup_ratio", "dropout", "eval_steps",
    "early_stopping_patience", "save_steps", "save_total_limit", "max_skipped_steps", "logging_steps",
    "optimizer.weight_decay",
    "optimizer.epsilon", "optimizer.max_grad_norm",
  ]

  static let keys =
    ["metadata.max_length", "metadata.seed", "parallel.threads_per_rank", "parallel.bucket_megabytes"]
    + ["parallel.exchange.node_ranks"]
    + ["ranks", "top_k", "cache_limit"].map { "parallel.teacher.\($0)" }
    + ["watchdog", "watchdog.silence", "watchdog.progress", "watchdog.phases.step"].map { "parallel.\($0)" }
    + hyperparameters.flatMap { ["defaults.\($0)", "steps.0.hyperparams.\($0)"] }

  private static let text = """
    distillation_chain:
      metadata: {dataset: d}
      parallel: {teacher: {placement: dedicated, payload: top_k}}
      steps: [{student_base: m, output_dir: out}]
    """

  /// Whether the value is taken; the test fails where it is refused as anything but a configuration, or without a place.
  private func isTaken(_ key: String, _ value: String) -> Bool {
    do {
      let steps = key.hasSuffix("eval_steps") ? ["steps.0.hyperparams.evaluation_strategy=steps"] : []
      let chain = try ChainConfiguration(parsing: Self.text, overrides: ["\(key)=\(value)"] + steps)
      // What is computed from the numbers alone must not overflow either.
      for step in chain.steps {
        _ = step.hyperparameters.warmup.steps(of: 1 << 40)
        _ = step.hyperparameters.resolved.text()
      }
      _ = chain.digestText
      return true
    } catch {
      let refusal = error as? RetortError
      #expect(refusal?.kind == .configuration && refusal?.location != nil, "\(key)=\(value): \(error)")
      return false
    }
  }

  @Test(arguments: keys) func `a number in a chain file is taken or refused with its place`(_ key: String) {
    let taken = Self.values.filter { isTaken(key, $0) }
    for value in ["-1", ".nan", ".inf", "-.inf", "abc", "1e300", "[1]", "{a: 1}"] {
      #expect(!taken.contains(value), "\(key)=\(value)")
    }
    #expect(!taken.isEmpty, "\(key) takes none of the values")
  }

  @Test func `a refusal names the range`() throws {
    for (key, value, range) in [
      ("parallel.bucket_megabytes", "1e13", "from 0.001 to 65536"),
      ("parallel.threads_per_rank", "1000000", "up to 1024"),
      ("parallel.threads_per_rank", "9223372036854775807", "up to 1024"),
      ("defaults.gradient_accumulation_steps", "2147483647", "up to 65536"),
      ("defaults.num_train_epochs", "1e18", "up to 1000000"), ("defaults.temperature", "1e-300", "from 0.001"),
      ("defaults.batch_size", "2147483648", "up to 2147483647"), ("metadata.max_length", "1e30", "up to 2147483647"),
    ] {
      let error = #expect(throws: RetortError.self) {
        try ChainConfiguration(parsing: Self.text, overrides: ["\(key)=\(value)"])
      }
      #expect(error?.remedy?.contains(range) == true, "\(key)=\(value): \(error?.description ?? "")")
    }
  }

  private static let clusterKeys = [
    "nodes", "ranks_per_node", "cores", "memory", "memory_bandwidth", "disk_bandwidth", "fp32", "bf16", "bandwidth",
    "latency",
  ]

  @Test(arguments: clusterKeys) func `a number in a cluster description is taken or refused`(_ key: String) {
    var numbers = [
      "nodes": "2", "ranks_per_node": "1", "cores": "1024", "memory": "8GB", "memory_bandwidth": "1GB/s",
      "disk_bandwidth": "1GB/s", "fp32": "10", "bf16": "10", "bandwidth": "1GB/s", "latency": "1us",
    ]
    for value in Self.values + ["1e30GB", "-1GB", "1e300us", "9e18TB/s"] {
      numbers[key] = value
      let at = { numbers[$0] ?? "" }
      let text = """
        cluster:
          nodes: \(at("nodes"))
          ranks_per_node: \(at("ranks_per_node"))
          node: {cores: \(at("cores")), memory: \(at("memory")), memory_bandwidth: \(at("memory_bandwidth")), disk_bandwidth: \(at("disk_bandwidth")), gflops_per_core: {fp32: \(at("fp32")), bf16: \(at("bf16"))}}
          network: {within_node: {bandwidth: \(at("bandwidth")), latency: \(at("latency"))}, between_nodes: {bandwidth: 1GB/s, latency: 1us}}
        """
      do { #expect(try Cluster(parsing: text, file: "c.yaml").ranks > 0) } catch {
        #expect((error as? RetortError)?.kind == .configuration, "\(key)=\(value): \(error)")
      }
    }
  }
}
