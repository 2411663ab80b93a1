import Foundation
import Platform
import Testing

/// Models of each family of encoders as transformers saves them: the same logits and losses, and students that it reads.
@Suite(.enabled(if: Command.hasTransformers, "RETORT_PYTHON names no Python with torch, transformers and safetensors"))
struct FamilyTests {
  /// The architecture's stem and the keys of its configuration beside the common ones, in Python.
  static let families = [
    ("Bert", "pad_token_id=0"), ("Roberta", "type_vocab_size=1, pad_token_id=1"),
    ("XLMRoberta", "type_vocab_size=1, pad_token_id=1"), ("Camembert", "type_vocab_size=1, pad_token_id=3"),
    ("DistilBert", "pad_token_id=0"), ("Electra", "embedding_size=12, pad_token_id=0"),
    ("Electra", "embedding_size=24, pad_token_id=0"),
    ("MPNet", "pad_token_id=1"), ("ModernBert", "local_attention=8, classifier_pooling='cls'"),
    ("ModernBert", "local_attention=5, classifier_pooling='mean', norm_bias=True, mlp_bias=True, attention_bias=True, "
      + "classifier_bias=True, layer_types=['sliding_attention', 'full_attention', 'sliding_attention'], "
      + "hidden_activation='silu', classifier_activation='relu', global_rope_theta=500.0"),
  ]

  /// Writes `model` and `expected.json`: logits of sequences with a padding token within one of them, and the losses of
  /// three steps of AdamW.
  private static let program = """
    import json, sys, torch, torch.nn.functional as F, transformers as tf
    stem, keys = sys.argv[1], eval(f"dict({sys.argv[2]})")
    torch.manual_seed(3); torch.set_num_threads(1)
    if stem == "DistilBert":
        sizes = dict(dim=24, n_layers=2, n_heads=3, hidden_dim=40, dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
    elif stem == "ModernBert":
        sizes = dict(hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=40, pad_token_id=0,
                     bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
    else:
        sizes = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, hidden_dropout_prob=0.0,
                     attention_probs_dropout_prob=0.0)
    config = getattr(tf, stem + "Config")(vocab_size=50, max_position_embeddings=40, num_labels=3, **sizes, **keys)
    model = getattr(tf, stem + "ForSequenceClassification")(config)
    with torch.no_grad():
        for p in model.parameters(): p.add_(torch.randn_like(p) * 0.1)
    model.save_pretrained("model")
    rows = [torch.randint(5, 50, (n,)).tolist() for n in (7, 3, 12, 5)]
    # It counts for the positions of some families. Its embedding is not trained there, which shows in a gradient norm.
    if stem not in ("ModernBert", "MPNet"): rows[2][4] = config.pad_token_id
    labels = torch.tensor([0, 1, 2, 1])
    def run(m): return torch.cat([m(input_ids=torch.tensor([r]), attention_mask=torch.ones(1, len(r), dtype=int)).logits for r in rows])
    expected = {"logits": run(model.eval()).tolist(), "losses": []}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    for _ in range(3):
        loss = F.cross_entropy(run(model), labels); optimizer.zero_grad(); loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0); optimizer.step()
        expected["losses"].append([float(loss), float(norm)])
    json.dump(expected, open("expected.json", "w"))
    with open("rows.jsonl", "w") as f:
        for r, y in zip(rows, labels.tolist()): f.write(json.dumps({"ids": r, "label": y}) + "\\n")
    """

  /// What transformers misses or does not expect in the student.
  private static let reader = """
    import json, transformers as tf
    name = json.load(open("out/config.json"))["architectures"][0]
    _, info = getattr(tf, name).from_pretrained("out", output_loading_info=True)
    print(json.dumps(sorted(info["missing_keys"]) + sorted(info["unexpected_keys"])))
    """

  private func chain(_ steps: String) -> String {
    """
    distillation_chain:
      metadata: {dataset: {train: rows.jsonl, validation: rows.jsonl}, task: {kind: classification}, max_length: 32, seed: 1}
      defaults: {learning_rate: 1e-3, max_steps: 3, batch_size: 4, schedule: constant, shuffle: false, precision: fp32}
      steps:
    \(steps)
    """
  }

  @Test(.timeLimit(.minutes(8)), arguments: families)
  func `logits, losses and gradient norms are those of transformers, which reads the student`(
    stem: String, keys: String
  ) throws {
    let command = try Command()
    _ = try command.python(Self.program, stem, keys)
    let expected = try JSON(contentsOf: command.path("expected.json"))
    let said = try command.run("predict", "model", "--input", "rows.jsonl", "--output", "-", "--precision", "fp32")
    #expect(said.code == 0, "\(said.said)")
    let logits = try Command.values(said.output).map { $0["logits"]?.array?.compactMap(\.double) ?? [] }
    let wanted = (expected["logits"]?.array ?? []).map { $0.array?.compactMap(\.double) ?? [] }
    try #require(logits.map(\.count) == wanted.map(\.count) && logits.count == 4)
    for (a, b) in zip(logits.joined(), wanted.joined()) { #expect(abs(a - b) < 1e-5, "\(stem): \(a), \(b)") }

    try command.write(
      "chain.yaml", chain("    - {step_id: tuned, teacher: null, student_base: model, output_dir: out}"))
    let run = try command.run("run", "chain.yaml")
    #expect(run.code == 0, "\(run.said)")
    let steps = try command.metrics("out")
    for (step, figures) in zip(steps, expected["losses"]?.array ?? []) {
      let (loss, norm) = (figures.array?[0].double ?? .nan, figures.array?[1].double ?? .nan)
      // Adam scales the rounding of gradients that are 0, such as those of key biases, to whole steps.
      #expect(abs(step["loss"] - loss) < 3e-4 * loss, "\(stem)")
      #expect(abs(step["gradient_norm"] - norm) < 3e-4 * max(1, norm), "\(stem)")
    }
    #expect(steps.count == 3)
    #expect(try command.python(Self.reader).contains("[]"), "\(stem)")
  }

  @Test(.timeLimit(.minutes(8)), .enabled(if: Command.hasMPI, "mpirun is missing"), arguments: families)
  func `a teacher in shards, in stages or streamed teaches as a whole one`(stem: String, keys: String) throws {
    let command = try Command()
    _ = try command.python(Self.program, stem, keys)
    try command.write(
      "chain.yaml",
      chain("    - {step_id: taught, teacher: model, student_base: {family: bert, hidden_size: 16, num_hidden_layers: 1, "
        + "num_attention_heads: 2, intermediate_size: 32, max_position_embeddings: 32, vocab_size: 50}, allow_untrained_teacher: true, output_dir: out}"))
    var losses: [[Double]] = []
    for placement in ["resident", "streamed", "sharded, sharding: pipeline", "sharded, sharding: tensor"] {
      try command.remove("out")
      let teacher = "parallel.teacher={placement: \(placement)}"
      let run = try command.run(["run", "chain.yaml", "--set", teacher], ranks: 2)
      #expect(run.code == 0, "\(placement): \(run.said)")
      losses.append(try command.metrics("out").map { $0["kd"] })
    }
    for other in losses.dropFirst() {
      try #require(other.count == 3)
      for (a, b) in zip(other, losses[0]) { #expect(abs(a - b) < 1e-5 * max(1, b), "\(stem): \(losses)") }
    }
  }
}
