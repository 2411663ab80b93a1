import Foundation
import Platform
import Testing

/// Losses of taggers, scorers and classifiers of several labels with a teacher, against PyTorch.
@Suite(.enabled(if: Command.hasTransformers, "RETORT_PYTHON names no Python with torch, transformers and safetensors"))
struct TransformersTaskTests {
  /// Writes `teacher`, `student`, `rows.jsonl` and `expected.json`: loss, both terms and gradient norm of three steps.
  private static let program = """
    import json, sys, torch, torch.nn.functional as F, transformers as tf
    kind = sys.argv[1]
    torch.manual_seed(5); torch.set_num_threads(1)
    def make(hidden, layers):
        sizes = dict(vocab_size=50, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=32,
                     max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        labels = {"regression": 1}.get(kind, 4)
        problem = {"regression": "regression", "multi_label": "multi_label_classification"}.get(kind)
        config = tf.BertConfig(num_labels=labels, problem_type=problem, **sizes)
        head = tf.BertForTokenClassification if kind == "token_classification" else tf.BertForSequenceClassification
        model = head(config)
        with torch.no_grad():
            for p in model.parameters(): p.add_(torch.randn_like(p) * 0.1)
        return model.eval()
    teacher, student = make(24, 3), make(16, 2)
    teacher.save_pretrained("teacher"); student.save_pretrained("student")
    rows = [torch.randint(5, 50, (n,)).tolist() for n in (7, 3, 12, 5)]
    T, a = 2.5, 0.3
    key = {"token_classification": "tags", "regression": "score", "multi_label": "labels"}[kind]
    if kind == "token_classification":
        # The first token of each row does not count.
        y = [[-100] + torch.randint(0, 4, (len(r) - 1,)).tolist() for r in rows]
    elif kind == "regression": y = [0.5, 3.25, -1.0, 2.0]
    else: y = [[0, 2], [], [3], [1, 2, 3]]
    def run(m): return [m(input_ids=torch.tensor([r]), attention_mask=torch.ones(1, len(r), dtype=int)).logits[0] for r in rows]
    def terms(s, t):
        if kind == "regression":
            return torch.stack([(x[0] - v) ** 2 for x, v in zip(s, y)]).mean(), torch.stack([(x - z).pow(2).mean() for x, z in zip(s, t)]).mean()
        if kind == "multi_label":
            hot = torch.zeros(4, 4)
            for i, v in enumerate(y): hot[i, v] = 1
            s, t = torch.stack(s), torch.stack(t); p = torch.sigmoid(t / T)
            kl = F.binary_cross_entropy_with_logits(s / T, p) - F.binary_cross_entropy_with_logits(t / T, p)
            return F.binary_cross_entropy_with_logits(s, hot), T * T * kl
        s, t, v = torch.cat(s), torch.cat(t), torch.tensor(sum(y, [])); counted = v != -100
        kl = F.kl_div(F.log_softmax(s[counted] / T, -1), F.softmax(t[counted] / T, -1), reduction="batchmean") * T * T
        return F.cross_entropy(s[counted], v[counted]), kl
    expected, optimizer = [], torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=0.0)
    with torch.no_grad(): t = run(teacher)
    for _ in range(3):
        hard, soft = terms(run(student), t)
        loss = a * hard + (1 - a) * soft
        optimizer.zero_grad(); loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0); optimizer.step()
        expected.append([float(loss), float(hard), float(soft), float(norm)])
    json.dump(expected, open("expected.json", "w"))
    with open("rows.jsonl", "w") as f:
        for r, v in zip(rows, y): f.write(json.dumps({"ids": r, key: v}) + "\\n")
    """

  @Test(
    .timeLimit(.minutes(8)), .enabled(if: Command.hasMPI, "mpirun is missing"),
    arguments: ["token_classification", "regression", "multi_label"], [1, 2])
  func `targets and teacher give the losses of PyTorch, cached or not`(kind: String, ranks: Int) throws {
    let command = try Command()
    _ = try command.python(Self.program, kind)
    let expected = try JSON(contentsOf: command.path("expected.json")).array ?? []
    let temperature = kind == "regression" ? "" : ", temperature: 2.5"
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata: {dataset: {train: rows.jsonl, validation: rows.jsonl}, task: {kind: \(kind)}, max_length: 32, seed: 1}
        defaults: {learning_rate: 1e-3, max_steps: 3, batch_size: 4, schedule: constant, shuffle: false, precision: fp32, alpha: 0.3\(temperature)}
        steps:
          - {step_id: taught, teacher: teacher, student_base: student, allow_untrained_teacher: true, output_dir: out}
      """)
    // The second run finds the teacher's answers in the cache.
    for round in 0..<2 {
      try command.remove("out")
      let run = try command.run(["run", "chain.yaml"], ranks: ranks)
      #expect(run.code == 0, "\(run.said)")
      if round == 1 { #expect(run.said.contains("100.0 %"), "\(run.said)") }
      let steps = try command.metrics("out")
      try #require(steps.count == 3)
      for (step, wanted) in zip(steps, expected) {
        let values = wanted.array?.compactMap(\.double) ?? []
        for (key, value) in zip(["loss", "ce", "kd", "gradient_norm"], values) {
          #expect(abs(step[key] - value) < 2e-4 * max(0.1, abs(value)), "\(kind), \(key): \(step[key]) for \(value)")
        }
      }
    }
  }

  @Test(
    .timeLimit(.minutes(8)), .enabled(if: Command.hasMPI, "mpirun is missing"),
    arguments: ["token_classification", "regression", "multi_label"])
  func `a teacher in shards, in stages, on ranks of its own or streamed teaches as a whole one`(kind: String) throws {
    let command = try Command()
    _ = try command.python(Self.program, kind)
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata: {dataset: {train: rows.jsonl, validation: rows.jsonl}, task: {kind: \(kind)}, max_length: 32, seed: 1}
        defaults: {learning_rate: 1e-3, max_steps: 3, batch_size: 4, shuffle: false, precision: fp32, alpha: 0.3}
        steps:
          - {step_id: taught, teacher: teacher, student_base: student, allow_untrained_teacher: true, output_dir: out}
      """)
    var losses: [[Double]] = []
    for placement in [
      "resident", "streamed", "sharded, sharding: pipeline", "sharded, sharding: tensor", "dedicated, ranks: 1",
      "sharded, sharding: tensor, payload: hidden",
    ] {
      try command.remove("out")
      let run = try command.run(
        ["run", "chain.yaml", "--set", "parallel.teacher={placement: \(placement)}"], ranks: 2)
      #expect(run.code == 0, "\(placement): \(run.said)")
      losses.append(try command.metrics("out").map { $0["kd"] })
    }
    for other in losses.dropFirst() {
      try #require(other.count == 3 && losses[0].count == 3)
      for (a, b) in zip(other, losses[0]) { #expect(abs(a - b) < 1e-5 * max(1, b), "\(kind): \(losses)") }
    }
  }
}
