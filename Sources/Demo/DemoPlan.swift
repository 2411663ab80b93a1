/// All settings of the demo chain.
package enum DemoPlan {
  /// The number of training reviews.
  package static let trainCount = 8000
  /// The number of validation reviews; none of them is in the training set.
  package static let validationCount = 1000
  /// The seed of the reviews and of the chain.
  package static let seed: UInt64 = 7
  /// Tokens of the longest input, [CLS] and [SEP] included; the longest review has about 40.
  static let maxLength = 64

  /// One step of the chain.
  struct Step {
    /// The name of the step and of its model's directory.
    let name: String
    /// The purpose of the step, a comment in the file.
    let purpose: String
    /// The step whose student is the teacher; nil for training on labels alone.
    let teacher: String?
    /// The student's shape, as keys of a Hugging Face configuration.
    let student: [(key: String, value: String)]
    /// The hyperparameters.
    let hyperparameters: [(key: String, value: String)]
  }

  private static let large = shape("bert", layers: 4, hidden: 128, heads: 4, intermediate: 512)
  private static let mini = shape("bert", layers: 2, hidden: 64, heads: 2, intermediate: 256)
  private static let femto =
    shape("bert_hash", layers: 2, hidden: 50, heads: 2, intermediate: 200) + [("projections", "5")]

  /// The chain in order. A distilled step and its "direct" counterpart differ only in the teacher.
  static let steps = [
    Step(
      name: "teacher", purpose: "The large model, trained on the labels.",
      teacher: nil, student: large, hyperparameters: training(rate: "3e-4", epochs: 6)),
    Step(
      name: "mini", purpose: "Six times smaller, taught by the large model.",
      teacher: "teacher", student: mini,
      hyperparameters: training(rate: "1e-3", epochs: 8, alpha: "0.5", temperature: "1.0")),
    Step(
      name: "femto", purpose: "Half of that again, with hashed embeddings, taught by mini.",
      teacher: "mini", student: femto,
      hyperparameters: training(rate: "1e-3", epochs: 10, alpha: "0.6", temperature: "1.5")),
    Step(
      name: "mini_direct", purpose: "The same shape as mini, from the labels alone.",
      teacher: nil, student: mini, hyperparameters: training(rate: "1e-3", epochs: 8)),
    Step(
      name: "femto_direct", purpose: "The same shape as femto, from the labels alone.",
      teacher: nil, student: femto, hyperparameters: training(rate: "1e-3", epochs: 10)),
  ]

  private static func shape(
    _ family: String, layers: Int, hidden: Int, heads: Int, intermediate: Int
  ) -> [(key: String, value: String)] {
    [
      ("family", family), ("num_hidden_layers", "\(layers)"), ("hidden_size", "\(hidden)"),
      ("num_attention_heads", "\(heads)"), ("intermediate_size", "\(intermediate)"),
      ("max_position_embeddings", "\(maxLength)"), ("tokenizer", "tokenizer"),
    ]
  }

  private static func training(
    rate: String, epochs: Int, alpha: String? = nil, temperature: String? = nil
  ) -> [(key: String, value: String)] {
    var values = [("learning_rate", rate), ("num_train_epochs", "\(epochs)"), ("batch_size", "32")]
    if let alpha { values.append(("alpha", alpha)) }
    if let temperature { values.append(("temperature", temperature)) }
    // No dropout: models this small, trained for a minute, do not overfit; with dropout they do not learn negation.
    return values + [("warmup_ratio", "0.1"), ("dropout", "0.0")]
  }
}

extension DemoPlan {
  /// The text of the chain file, which is run in its own directory.
  package static var chainFile: String {
    var lines = [
      "# The demo: one large model from scratch, two students distilled from it, and for each student the same model",
      "# trained on the labels alone. Outputs go to this directory:",
      "#     mpirun -n 2 retort run chain.yaml",
      "# After an interruption the same command resumes the chain.",
      "distillation_chain:",
      "  metadata:",
      "    name: demo",
      "    dataset: data",
      "    task: {kind: classification, text: sentence, label: label, labels: [negative, positive]}",
      "    max_length: \(maxLength)",
      "    seed: \(seed)",
      "  steps:",
    ]
    for step in steps {
      lines += [
        "    # \(step.purpose)",
        "    - step_id: \(step.name)",
        "      teacher: \(step.teacher ?? "null")",
        "      student_base: \(mapping(step.student))",
        "      output_dir: models/\(step.name)",
        "      hyperparams: \(mapping(step.hyperparameters))",
      ]
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func mapping(_ values: [(key: String, value: String)]) -> String {
    "{" + values.map { "\($0.key): \($0.value)" }.joined(separator: ", ") + "}"
  }
}
