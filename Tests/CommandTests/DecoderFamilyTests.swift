import Foundation
import Platform
import Testing

/// Models of each family of decoders as transformers saves them: the same logits, greedy text and losses, and students
/// that it reads; and teachers and students in parts, which give the losses of whole ones.
@Suite(
  .serialized,
  .enabled(if: Command.hasTransformers, "RETORT_PYTHON names no Python with torch, transformers and safetensors"))
struct DecoderFamilyTests {
  /// A family's case: the architecture's stem, and the keys of its configuration beside the common ones, in Python.
  struct Family: CustomTestStringConvertible, Sendable {
    let stem: String
    let keys: String
    var testDescription: String { "\(stem)(\(keys))" }
  }

  /// Each trait at least once.
  static let families = [
    Family(stem: "Qwen3", keys: "head_dim=12, tie_word_embeddings=True"),
    Family(stem: "SmolLM3", keys: "pad_token_id=0, bos_token_id=1, eos_token_id=2, no_rope_layer_interval=2"),
    Family(stem: "GPT2", keys: "n_inner=40, bos_token_id=1, eos_token_id=2"),
    Family(
      stem: "Gemma3",
      keys: "head_dim=12, query_pre_attn_scalar=20, sliding_window=5, layer_types=['sliding_attention', "
        + "'full_attention', 'sliding_attention'], eos_token_id=None, bos_token_id=None"),
  ]

  /// More values of the traits.
  static let variants = [
    Family(stem: "Qwen3", keys: "head_dim=6, tie_word_embeddings=False, attention_bias=True"),
    Family(
      stem: "GPT2",
      keys: "tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, scale_attn_by_inverse_layer_idx=True"),
    Family(stem: "Mistral", keys: "sliding_window=4"),
    Family(stem: "Qwen2", keys: "use_sliding_window=True, sliding_window=5, max_window_layers=1"),
    Family(
      stem: "Qwen3",
      keys:
        "head_dim=10, use_sliding_window=True, sliding_window=2, layer_types=['sliding_attention', 'full_attention', "
        + "'full_attention']"),
    Family(
      stem: "SmolLM3",
      keys: "pad_token_id=0, no_rope_layers=[0, 1, 0], use_sliding_window=True, sliding_window=7, eos_token_id=None"),
    Family(
      stem: "Gemma3",
      keys: "head_dim=6, query_pre_attn_scalar=6, sliding_window=48, attention_bias=True, eos_token_id=None, "
        + "rope_parameters={'full_attention': {'rope_type': 'linear', 'factor': 4.0}, 'sliding_attention': "
        + "{'rope_type': 'default', 'rope_theta': 500.0}}, sliding_window_pattern=2, bos_token_id=None"),
  ]

  /// Writes `model` and `expected.json`: last logits of sequences, a greedy continuation, and the losses of three steps
  /// of AdamW.
  private static let program = """
    import json, sys, torch, torch.nn.functional as F, transformers as tf
    stem, keys = sys.argv[1], eval(f"dict({sys.argv[2]})")
    torch.manual_seed(3); torch.set_num_threads(1)
    if stem == "GPT2":
        sizes = dict(n_embd=24, n_layer=3, n_head=4, n_positions=48, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
        name = "GPT2LMHeadModel"
    else:
        sizes = dict(hidden_size=24, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, intermediate_size=40,
                     max_position_embeddings=48, rms_norm_eps=1e-6)
        name = stem + "ForCausalLM"
    config = getattr(tf, {"Gemma3": "Gemma3Text"}.get(stem, stem) + "Config")(vocab_size=50, **{**sizes, **keys})
    model = getattr(tf, name)._from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for p in model.parameters(): p.add_(torch.randn_like(p) * 0.1)
    model.save_pretrained("model")
    rows = [torch.randint(5, 50, (n,)).tolist() for n in (7, 1, 30, 12)]
    logits = [model.eval()(torch.tensor([r])).logits[0, -1].tolist() for r in rows]
    greedy = model.generate(torch.tensor([rows[0]]), max_new_tokens=30, do_sample=False, pad_token_id=0, eos_token_id=None)
    documents = torch.randint(5, 50, (4, 24))
    expected = {"logits": logits, "prompt": rows[0], "greedy": greedy[0, 7:].tolist(), "losses": []}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    for _ in range(3):
        out = model(documents).logits
        loss = F.cross_entropy(out[:, :-1].flatten(0, 1), documents[:, 1:].flatten()); optimizer.zero_grad(); loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0); optimizer.step()
        expected["losses"].append([float(loss), float(norm)])
    json.dump(expected, open("expected.json", "w"))
    with open("rows.jsonl", "w") as f:
        for r in rows: f.write(json.dumps({"ids": r}) + "\\n")
    with open("documents.jsonl", "w") as f:
        for r in documents.tolist(): f.write(json.dumps({"ids": r}) + "\\n")
    """

  /// What transformers misses or does not expect in the student.
  private static let reader = """
    import json, transformers as tf
    name = json.load(open("out/config.json"))["architectures"][0]
    _, info = getattr(tf, name).from_pretrained("out", output_loading_info=True)
    print(json.dumps(sorted(info["missing_keys"]) + sorted(info["unexpected_keys"])))
    """

  private func made(_ family: Family, _ steps: String) throws -> (command: Command, expected: JSON) {
    let command = try Command()
    _ = try command.python(Self.program, family.stem, family.keys)
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata: {dataset: {train: documents.jsonl, validation: documents.jsonl}, task: {kind: language_modeling}, max_length: 24, seed: 1}
        defaults: {learning_rate: 1e-3, max_steps: 3, batch_size: 4, schedule: constant, shuffle: false, precision: fp32}
        steps:
      \(steps)
      """)
    return (command, try JSON(contentsOf: command.path("expected.json")))
  }

  private let tuned = "    - {step_id: tuned, teacher: null, student_base: model, output_dir: out}"

  @Test(.timeLimit(.minutes(8)), arguments: families + variants)
  func `logits, greedy text, losses and gradient norms are those of transformers, which reads the student`(
    family: Family
  ) throws {
    let (command, expected) = try made(family, tuned)
    let said = try command.run("predict", "model", "--input", "rows.jsonl", "--output", "-", "--precision", "fp32")
    #expect(said.code == 0, "\(said.said)")
    let logits = try Command.values(said.output).map { $0["logits"]?.array?.compactMap(\.double) ?? [] }
    let wanted = (expected["logits"]?.array ?? []).map { $0.array?.compactMap(\.double) ?? [] }
    try #require(logits.map(\.count) == wanted.map(\.count) && logits.count == 4)
    for (a, b) in zip(logits.joined(), wanted.joined()) { #expect(abs(a - b) < 1e-5, "\(a), \(b)") }

    let prompt = (expected["prompt"]?.array ?? []).compactMap(\.int).map(String.init).joined(separator: ",")
    let text = try command.succeed(
      "generate", "model", "--ids", prompt, "--max-new-tokens", "30", "--precision", "fp32", "--temperature", "0")
    // The text ends before the first stop token, if there is one.
    let greedy = (expected["greedy"]?.array ?? []).compactMap(\.int)
    let own = text.output.split { !$0.isNumber }.compactMap { Int($0) }.dropFirst(7)
    #expect(
      Array(own) == greedy.prefix { $0 != 2 || !family.keys.contains("eos_token_id=2") && family.stem != "Mistral" }
        && !own.isEmpty, "\(own), \(greedy)")

    let run = try command.run("run", "chain.yaml")
    #expect(run.code == 0, "\(run.said)")
    let steps = try command.metrics("out")
    for (step, figures) in zip(steps, expected["losses"]?.array ?? []) {
      let (loss, norm) = (figures.array?[0].double ?? .nan, figures.array?[1].double ?? .nan)
      #expect(abs(step["loss"] - loss) < 3e-4 * loss)
      #expect(abs(step["gradient_norm"] - norm) < 3e-4 * max(1, norm))
    }
    #expect(steps.count == 3)
    #expect(try command.python(Self.reader).contains("[]"))
  }

  @Test(.timeLimit(.minutes(8)), arguments: families)
  func `a student of some layers has their attention, and transformers reads it`(family: Family) throws {
    let (command, _) = try made(
      family,
      "    - {step_id: cut, teacher: model, student_base: {num_hidden_layers: 2}, student_init: {layers: [1, 2]}, allow_untrained_teacher: true, output_dir: out}"
    )
    let run = try command.run("run", "chain.yaml")
    #expect(run.code == 0, "\(run.said)")
    let (own, whole) = (
      try JSON(contentsOf: command.path("out/config.json")), try JSON(contentsOf: command.path("model/config.json"))
    )
    for key in ["layer_types", "no_rope_layers"] {
      guard let list = whole[key]?.array else { continue }
      #expect(own[key]?.array == Array(list[1...]), "\(key)")
    }
    #expect(try command.python(Self.reader).contains("[]"))
  }

  @Test(.timeLimit(.minutes(8)), .enabled(if: Command.hasMPI, "mpirun is missing"), arguments: families)
  func `a student in parts, recomputed or in bf16 learns as a whole one`(family: Family) throws {
    let (command, _) = try made(family, tuned)
    func losses(_ settings: String...) throws -> [(loss: Double, norm: Double)] {
      try command.remove("out")
      let run = try command.run(["run", "chain.yaml"] + settings.flatMap { ["--set", $0] }, ranks: 2)
      #expect(run.code == 0, "\(settings): \(run.said)")
      return try command.metrics("out").map { ($0["loss"], $0["gradient_norm"]) }
    }
    let whole = try losses("parallel.student.sharding=none")
    for sharding in ["gradients", "parameters"] {
      let own = try losses("parallel.student.sharding=\(sharding)", "defaults.activation_checkpointing=true")
      try #require(own.count == 3)
      for (a, b) in zip(own, whole) {
        #expect(abs(a.loss - b.loss) < 1e-6 * b.loss && abs(a.norm - b.norm) < 1e-5 * b.norm, "\(sharding)")
      }
    }
    let dropped = try losses("parallel.student.sharding=none", "defaults.dropout=0.2")
    let again = try losses(
      "parallel.student.sharding=parameters", "defaults.dropout=0.2", "defaults.activation_checkpointing=true")
    for ((a, b), plain) in zip(zip(dropped, again), whole) {
      #expect(abs(a.loss - b.loss) < 1e-6 * b.loss && abs(a.norm - b.norm) < 1e-5 * b.norm, "dropout")
      #expect(abs(a.loss - plain.loss) > 1e-4, "dropout")
    }
    for (a, b) in zip(try losses("defaults.precision=bf16", "parallel.student.sharding=parameters"), whole) {
      #expect(a.loss != b.loss && abs(a.loss - b.loss) < 1e-2 * b.loss && abs(a.norm - b.norm) < 5e-2 * b.norm)
    }
  }

  @Test(.timeLimit(.minutes(8)), .enabled(if: Command.hasMPI, "mpirun is missing"), arguments: families)
  func `a teacher in shards, in stages, streamed or on its own rank teaches as a whole one`(family: Family) throws {
    let (command, _) = try made(
      family,
      "    - {step_id: taught, teacher: model, student_base: {family: llama, hidden_size: 16, num_hidden_layers: 1, "
        + "num_attention_heads: 2, intermediate_size: 32, max_position_embeddings: 32, vocab_size: 50}, allow_untrained_teacher: true, output_dir: out}"
    )
    var losses: [[Double]] = []
    for (placement, ranks) in [
      ("resident", 2), ("streamed", 2), ("sharded, sharding: pipeline", 2), ("sharded, sharding: tensor", 3),
      ("dedicated, ranks: 2, sharding: tensor", 3),
    ] {
      try command.remove("out")
      let teacher = "parallel.teacher={placement: \(placement)}"
      let run = try command.run(["run", "chain.yaml", "--set", teacher], ranks: ranks)
      #expect(run.code == 0, "\(placement): \(run.said)")
      losses.append(try command.metrics("out").map { $0["kd"] })
    }
    for other in losses.dropFirst() {
      try #require(other.count == 3)
      for (a, b) in zip(other, losses[0]) { #expect(abs(a - b) < 1e-5 * max(1, b), "\(losses)") }
    }
  }
}
