extension Command {
  /// Writes `toy/`: a small demo data set, its tokenizer, and `toy.yaml`, a chain of two steps that takes seconds.
  ///
  /// The steps are `first` (plain fine-tuning) and `second`, whose teacher is `first`; outputs go to `toy/out/`.
  ///
  /// - Parameter threads: of a rank; nil: as many as the chain gets by itself.
  func makeToy(steps: Int = 6, train: Int = 64, validation: Int = 32, threads: Int? = 1) throws {
    let made = try run("demo", path("toy"), "--train", "\(train)", "--validation", "\(validation)")
    guard made.code == 0 else { throw ToyFailure(said: made.said) }
    try write(
      "toy/toy.yaml",
      """
      distillation_chain:
        metadata:
          dataset: data
          task: {kind: classification, text: sentence, label: label, labels: [negative, positive]}
          max_length: 64
          seed: 3
        parallel: {\(threads.map { "threads_per_rank: \($0)" } ?? "")}
        defaults: {batch_size: 16, max_steps: \(steps), learning_rate: 1e-3, precision: fp32}
        steps:
          - step_id: first
            teacher: null
            student_base: {family: bert, num_hidden_layers: 2, hidden_size: 32, num_attention_heads: 2, intermediate_size: 64, max_position_embeddings: 64, tokenizer: tokenizer}
            output_dir: \(path("toy/out/first"))
          - step_id: second
            teacher: first
            allow_untrained_teacher: true
            student_base: {family: bert_hash, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, intermediate_size: 32, max_position_embeddings: 64, projections: 4, tokenizer: tokenizer}
            output_dir: \(path("toy/out/second"))
            hyperparams: {alpha: 0.3, temperature: 3.0}

      """)
  }

  /// `retort demo` failed.
  struct ToyFailure: Error { let said: String }
}
