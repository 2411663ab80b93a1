import Foundation
import Platform
import Testing

extension WholeChainTests {
  /// Numeric columns with a perceptron teacher and a linear student.
  @Suite struct FeatureChainTests {
    /// Three classes, rings and wedges that one linear layer cannot separate; the columns have different scales.
    private struct Row {
      let weight: Double
      let height: Double
      let noise: Double
      let ring: String

      init(_ numbers: inout Numbers) {
        let (x, y) = (4 * numbers.unit() - 2, 4 * numbers.unit() - 2)
        let square = x * x + y * y
        weight = 100 + 30 * x
        height = 0.001 * y
        noise = numbers.unit()
        ring = square < 0.8 ? "inner" : square < 2.6 ? "middle" : "outer"
      }
    }

    @Test(.timeLimit(.minutes(8)))
    func `rings are learnt by perceptrons and not by a linear student`() throws {
      let command = try Command()
      var numbers = Numbers(5)
      let rows = (0..<1500).map { _ in Row(&numbers) }
      let validation = rows[1200...]
      for (split, part) in [("train", rows[..<1200]), ("validation", validation)] {
        try command.write(
          "table/\(split).csv",
          "weight,height,noise,ring\n" + part.map { "\($0.weight),\($0.height),\($0.noise),\($0.ring)\n" }.joined())
      }
      try command.write(
        "table.yaml",
        """
        distillation_chain:
          metadata:
            dataset: table
            task: {kind: features, label: ring, labels: [inner, middle, outer]}
          defaults: {batch_size: 64, num_train_epochs: 30, learning_rate: 1e-2}
          steps:
            - {step_id: mlp, teacher: null, student_base: {family: perceptron, input_size: 3, hidden_sizes: [32, 32]}, output_dir: out/mlp}
            - {step_id: small, student_base: {family: perceptron, input_size: 3, hidden_sizes: [8]}, output_dir: out/small, hyperparams: {alpha: 0.2}}
            - {step_id: linear, student_base: {family: perceptron, input_size: 3, hidden_sizes: []}, output_dir: out/linear, hyperparams: {temperature: 4}, allow_untrained_teacher: true}

        """)
      try command.succeed("run", "table.yaml", ranks: 2)
      func accuracy(_ step: String) throws -> Double {
        try #require(try command.evaluations("out/\(step)").last { $0.json["best"] == true })["accuracy"]
      }
      let mlp = try accuracy("mlp")
      #expect(mlp > 0.93)
      #expect(try accuracy("small") > 0.85)
      #expect(try accuracy("linear") < mlp - 0.1)

      // Columns in another order, without the label: found by their names.
      try command.write(
        "rows.jsonl",
        validation.map { "{\"noise\": \($0.noise), \"height\": \($0.height), \"weight\": \($0.weight)}\n" }.joined())
      try command.succeed("predict", "out/mlp", "--input", "rows.jsonl", "--output", "answers.jsonl", ranks: 2)
      let answers = try command.read("answers.jsonl").split(separator: "\n").map {
        try JSON(parsing: String($0))["label_name"]?.string
      }
      #expect(answers.count == validation.count)
      let right = zip(answers, validation).filter { $0 == $1.ring }.count
      #expect(Double(right) / 300 > mlp - 1e-3, "predict differs from evaluate")

      let evaluate = ["evaluate", "out/mlp", "--data", "table/validation.csv", "--label", "ring", "--json"]
      #expect(try JSON(parsing: command.succeed(evaluate).output)["count"] == 300)
      // The precision auto resolves to one of the two, and is printed and stored; both run on any CPU.
      let dry = ["run", "table.yaml", "--dry-run"]
      let baseline = try command.succeed(dry, environment: ["RETORT_ISA": "baseline"]).said
      #expect(baseline.contains("precision fp32"), "auto without AVX-512: \(baseline)")
      let requested = try command.succeed(dry + ["--precision", "bf16"]).said
      #expect(requested.contains("precision bf16"), "\(requested)")
      let stored = Set(try recorded(command.stepJSON("out/mlp"), "precision"))
      #expect(!stored.isDisjoint(with: ["fp32", "bf16"]), "\(stored)")
      let found = try ["fp32", "bf16"].map {
        try JSON(
          parsing: command.succeed(
            evaluate + ["--precision", $0],
            environment: ["RETORT_ISA": "baseline", "ONEDNN_MAX_CPU_ISA": "AVX2"]
          ).output
        ).number("accuracy")
      }
      #expect(abs(found[0] - found[1]) < 0.03, "\(found)")
    }

    /// The texts of a key, wherever it is in a value.
    private func recorded(_ json: JSON, _ key: String) -> [String] {
      if let members = json.object {
        return members.flatMap { name, value in
          (name == key ? [value.string].compactMap { $0 } : []) + recorded(value, key)
        }
      }
      return (json.array ?? []).flatMap { recorded($0, key) }
    }
  }
}
