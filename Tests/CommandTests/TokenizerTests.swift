import Testing

@Suite struct TokenizerTests {
  @Test func `a segment that the model has no row for is refused`() throws {
    let command = try Command()
    try command.makeToy()
    let rows = (0..<16).map { #"{"text": "a good film", "other": "a bad one", "label": \#($0 % 2)}"# }
    try command.write("toy/pairs.jsonl", rows.joined(separator: "\n") + "\n")
    try command.write(
      "toy/pairs.yaml",
      """
      distillation_chain:
        metadata:
          dataset: {train: pairs.jsonl, validation: pairs.jsonl}
          task: {kind: classification, text: text, text_pair: other}
          max_length: 32
        parallel: {threads_per_rank: 1}
        steps:
          - step_id: only
            teacher: null
            student_base: {family: bert, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, type_vocab_size: 1, tokenizer: tokenizer}
            output_dir: \(command.path("toy/out/pairs"))
            hyperparams: {max_steps: 2, batch_size: 8}

      """)
    let result = try command.run("run", "toy/pairs.yaml")
    #expect([3, 4].contains(result.code) && result.said.contains("type_vocab_size"), "\(result.said)")
    #expect(result.said.contains("other"))
  }
}
