import Foundation
import Platform
import Testing

/// `similarity_mse`, whose pairs reach over all passes and ranks, against PyTorch on the whole batch.
@Suite(.enabled(if: Command.hasTransformers, "RETORT_PYTHON names no Python with torch, transformers and safetensors"))
struct SimilarityTests {
  /// Writes `teacher`, `student`, `rows.jsonl` and `expected.json`: loss, both terms and gradient norm of three steps.
  private static let program = """
    import json, torch, transformers as tf
    torch.manual_seed(5); torch.set_num_threads(1)
    def make(hidden, layers):
        model = tf.BertModel(tf.BertConfig(vocab_size=50, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=2,
          intermediate_size=32, max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
        with torch.no_grad():
            for p in model.parameters(): p.add_(torch.randn_like(p) * 0.3)
        return model.eval()
    teacher, student = make(24, 3), make(16, 2)
    teacher.save_pretrained("teacher"); student.save_pretrained("student")
    rows = [torch.randint(5, 50, (n,)).tolist() for n in (7, 3, 12, 5, 9, 4, 6)]
    def run(m):
        v = torch.stack([m(input_ids=torch.tensor([r])).last_hidden_state[0].mean(0) for r in rows])
        return v / v.norm(dim=1, keepdim=True)
    expected, optimizer = [], torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=0.0)
    with torch.no_grad(): t = run(teacher)
    for _ in range(3):
        s = run(student); alike = (s @ s.T - t @ t.T).pow(2).mean()
        optimizer.zero_grad(); alike.backward()
        norm = torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0); optimizer.step()
        expected.append([float(alike), float(norm)])
    json.dump(expected, open("expected.json", "w"))
    with open("rows.jsonl", "w") as f:
        for r in rows: f.write(json.dumps({"ids": r}) + "\\n")
    """

  @Test(.timeLimit(.minutes(8)), .enabled(if: Command.hasMPI, "mpirun is missing"))
  func `the cosines of a whole batch give the losses of PyTorch for any ranks, passes, sharding and placement`() throws
  {
    let command = try Command()
    _ = try command.python(Self.program)
    let expected = try JSON(contentsOf: command.path("expected.json")).array ?? []
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata: {dataset: {train: rows.jsonl, validation: rows.jsonl}, task: {kind: embedding}, max_length: 32, seed: 1}
        defaults: {learning_rate: 1e-3, max_steps: 3, batch_size: 7, schedule: constant, shuffle: false, precision: fp32, optimizer: {weight_decay: 0}, objectives: [similarity_mse]}
        steps:
          - {step_id: taught, teacher: teacher, student_base: student, allow_untrained_teacher: true, output_dir: out}
      """)
    for (ranks, set) in [
      (1, []), (1, ["defaults.gradient_accumulation_steps=3"]), (2, []), (3, ["parallel.student.sharding=parameters"]),
      (2, ["parallel.student.sharding=gradients", "defaults.gradient_accumulation_steps=2"]),
      (2, ["parallel.teacher={placement: sharded}"]), (2, ["parallel.teacher={placement: dedicated, ranks: 1}"]),
      (2, ["defaults.activation_checkpointing=true"]),
    ] as [(Int, [String])] {
      try command.remove("out")
      let run = try command.run(["run", "chain.yaml"] + set.flatMap { ["--set", $0] }, ranks: ranks)
      try #require(run.code == 0, "\(set) on \(ranks): \(run.said)")
      let steps = try command.metrics("out")
      try #require(steps.count == 3)
      for (step, wanted) in zip(steps, expected) {
        let values = wanted.array?.compactMap(\.double) ?? []
        for (key, value) in zip(["loss", "gradient_norm"], values) {
          #expect(
            abs(step[key] - value) < 2e-4 * max(0.01, abs(value)),
            "\(set) on \(ranks), \(key): \(step[key]) for \(value)")
        }
      }
    }
  }
}
