import Foundation
import Platform
import Testing

/// Sentence embeddings through the whole command.
@Suite struct EmbeddingTests {
  private func made(_ step: String = "", train: String = "sentences.jsonl", task: String = "{kind: embedding}") throws
    -> Command
  {
    let command = try Command()
    try command.makeEmbedder("teacher", layers: 3, hidden: 24)
    try command.makeEmbedder("small", layers: 2, hidden: 16, pooling: nil)
    try command.makeSentences()
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata: {dataset: {train: \(train), validation: pairs.tsv}, task: \(task), max_length: 20, seed: 1}
        parallel: {threads_per_rank: 1}
        defaults: {learning_rate: 3e-3, max_steps: 12, batch_size: 8, precision: fp32, evaluation_strategy: steps, eval_steps: 6, logging_steps: 1, shuffle: false}
        steps:
          - {step_id: s, teacher: teacher, student_base: small, output_dir: out, allow_untrained_teacher: true\(step)}

      """)
    return command
  }

  private func vectors(_ command: Command, _ model: String, _ file: String, _ key: String = "embedding") throws
    -> [[Double]]
  {
    let said = try command.run("predict", model, "--input", file, "--output", "-", "--precision", "fp32")
    try #require(said.code == 0, "\(said.said)")
    return try Command.values(said.output).map { $0[key]?.array?.compactMap(\.double) ?? [] }
  }

  @Test func `a student learns its teacher's vectors and is written as a directory of sentence-transformers`() throws {
    let command = try made()
    let run = try command.run("run", "chain.yaml")
    try #require(run.code == 0, "\(run.said)")
    let losses = try command.metrics("out").map { $0["loss"] }
    #expect(losses.count == 12 && losses[11] < 0.8 * losses[0], "\(losses)")
    let names = [
      "modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config_sentence_transformers.json",
    ]
    for name in names { #expect(command.exists("out/\(name)"), "\(name)") }
    let pooling = try JSON(contentsOf: command.path("out/1_Pooling/config.json"))
    #expect(pooling["pooling_mode_mean_tokens"]?.bool == true && pooling["word_embedding_dimension"]?.int == 16)
    #expect(try JSON(contentsOf: command.path("out/sentence_bert_config.json"))["max_seq_length"]?.int == 20)
    #expect(try JSON(contentsOf: command.path("out/config.json"))["architectures"]?.array?.first?.string == "BertModel")
    let vectors = try vectors(command, "out", "sentences.jsonl")
    #expect(vectors.count == 32 && vectors.allSatisfy { $0.count == 16 })
    for vector in vectors { #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5) }
    let again = try command.run("run", "chain.yaml")
    #expect(again.code == 0 && again.said.contains("kept"), "\(again.said)")
  }

  @Test func `a pair is two vectors, each that of its text alone, and evaluate correlates their cosines`() throws {
    let command = try made()
    let (first, second) = (
      try vectors(command, "teacher", "pairs.tsv"), try vectors(command, "teacher", "pairs.tsv", "embedding_pair")
    )
    let rows = try command.read("pairs.tsv").split(separator: "\n").dropFirst().map { $0.split(separator: "\t") }
    for (place, file) in ["a.jsonl", "b.jsonl"].enumerated() {
      try command.write(file, rows.map { "{\"text\": \"\($0[place])\"}\n" }.joined())
    }
    #expect(try vectors(command, "teacher", "a.jsonl") == first && vectors(command, "teacher", "b.jsonl") == second)
    let said = try command.run("evaluate", "teacher", "--data", "pairs.tsv", "--json", "--precision", "fp32")
    try #require(said.code == 0, "\(said.said)")
    let result = try #require(try Command.values(said.output).first)
    let cosines = zip(first, second).map { zip($0, $1).reduce(0) { $0 + $1.0 * $1.1 } }
    let scores = rows.map { Double($0[2]) ?? 0 }
    func centred(_ x: [Double]) -> [Double] { x.map { $0 - x.reduce(0, +) / Double(x.count) } }
    let (x, y) = (centred(cosines), centred(scores))
    func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
    #expect(abs((result["pearson"]?.double ?? 0) - dot(x, y) / (dot(x, x) * dot(y, y)).squareRoot()) < 1e-5)
    #expect(result["count"]?.int == 16 && result["metric"]?.string == "spearman" && result["loss"] == nil)
  }

  @Test func `an embedder is measured on a known task of scores, whose files have no header, and on no other`() throws {
    let command = try made()
    let rows = try command.read("pairs.tsv").split(separator: "\n").dropFirst().map { $0.split(separator: "\t") }
    try command.write(
      "stsb.tsv", rows.map { "main-news\tMSRpar\t2012\t1\t\($0[2])\t\($0[0])\t\($0[1])\n" }.joined())
    let named = try command.run("evaluate", "teacher", "--data", "stsb.tsv", "--task", "stsb", "--json")
    let plain = try command.run("evaluate", "teacher", "--data", "pairs.tsv", "--json")
    #expect(named.code == 0 && named.output == plain.output, "\(named.said)")
    let refused = try command.run("evaluate", "teacher", "--data", "pairs.tsv", "--task", "mrpc")
    #expect(refused.code == 2 && refused.errors.contains("is classification, and the model's is embedding"))
  }

  @Test(.enabled(if: Command.hasMPI, "mpirun is missing"))
  func `the figures are the same for any number of ranks and placement of the teacher, also of pairs`() throws {
    let command = try made(train: "pairs.tsv")
    var figures: [String: [Double]] = [:]
    for (name, ranks, values) in [
      ("one rank", 1, []), ("three ranks", 3, []),
      ("recomputed", 1, ["defaults.activation_checkpointing=true"]),
      ("parameters", 2, ["parallel.student={sharding: parameters}"]),
      ("not kept", 1, ["parallel.cache=false"]), ("streamed", 1, ["parallel.teacher={placement: streamed}"]),
      ("tensor", 2, ["parallel.teacher={placement: sharded, sharding: tensor}"]),
      ("pipeline", 2, ["parallel.teacher={placement: sharded, sharding: pipeline}"]),
      ("dedicated", 2, ["parallel.teacher={placement: dedicated}"]),
    ] {
      try command.remove("out")
      let run = try command.run(["run", "chain.yaml"] + values.flatMap { ["--set", $0] }, ranks: ranks)
      try #require(run.code == 0, "\(name): \(run.said)")
      figures[name] = try command.metrics("out").flatMap { [$0["loss"], $0["gradient_norm"]] }
    }
    let own = try #require(figures["one rank"])
    #expect(own.count == 24)
    for (name, other) in figures {
      try #require(other.count == own.count)
      for (a, b) in zip(own, other) { #expect(abs(a - b) < 2e-4 * max(1, abs(a)), "\(name)") }
    }
  }

  @Test func `what makes no vectors is refused by name, with a remedy`() throws {
    let command = try made()
    let cases: [(values: [String], code: Int32, parts: [String])] = [
      (["steps.0.teacher=null"], 2, ["leaves nothing to learn", "Name a teacher"]),
      (["defaults.alpha=0.5"], 2, ["alpha", "has no meaning for sentence embedding", "pooled_cosine"]),
      (["defaults.objectives=[cross_entropy]"], 2, ["objectives.0", "cross_entropy", "sentence embedding", "pooled_cosine"]),
      (["defaults.objectives=[pooled_mse]", "parallel.teacher={placement: sharded, payload: hidden}"], 2, ["payload: hidden", "payload: logits"]),
      (["metadata.task={kind: embedding, pooling: max}"], 2, ["task.pooling", "mean", "cls"]),
      (["metadata.task={kind: embedding, labels: [a, b]}"], 2, ["task.labels", "has no meaning for kind: embedding"]),
      (["defaults.metric=accuracy"], 2, ["metric", "accuracy", "spearman"]),
      (["metadata.task={kind: classification}"], 3, ["teacher", "a model without a head"]),
    ]
    for (values, code, parts) in cases {
      let said = try command.run(["run", "chain.yaml", "--dry-run"] + values.flatMap { ["--set", $0] })
      #expect(said.code == code, "\(values): \(said.said)")
      for part in parts { #expect(said.said.contains(part), "\(values): \(part): \(said.said)") }
    }
    let files: [(name: String, content: String, parts: [String])] = [
      ("modules.json", "[{\"path\": \"2_Dense\", \"type\": \"sentence_transformers.models.Dense\"}]", ["modules.json", "Dense", "is not built"]),
      ("modules.json", "[]", ["no Pooling module"]),
      ("1_Pooling/config.json", "{\"pooling_mode_max_tokens\": true}", ["1_Pooling/config.json", "max_tokens", "mean"]),
      ("1_Pooling/config.json", "{\"pooling_mode\": \"lasttoken\"}", ["lasttoken"]),
      ("sentence_bert_config.json", "{\"do_lower_case\": true}", ["do_lower_case"]),
      ("config_sentence_transformers.json", "{\"prompts\": {\"q\": \"query: \"}, \"default_prompt_name\": \"q\"}", ["\"query: \"", "default_prompt_name"]),
    ]
    for (name, content, parts) in files {
      try command.makeEmbedder("teacher", layers: 3, hidden: 24)
      try command.remove("teacher/config_sentence_transformers.json")
      try command.write("teacher/\(name)", content)
      let said = try command.run("predict", "teacher", "--input", "sentences.jsonl", "--output", "-")
      #expect(said.code == 3, "\(name): \(said.said)")
      for part in parts { #expect(said.said.contains(part), "\(part): \(said.said)") }
    }
  }

  @Test func `pooling follows the files, then the task, and without either it is the normalised mean with a remark`() throws {
    let command = try made(task: "{kind: embedding, pooling: cls, normalize: false}")
    let said = try command.run("predict", "small", "--input", "sentences.jsonl", "--output", "x.jsonl")
    #expect(said.code == 0 && said.said.contains("it is their mean, normalised"), "\(said.said)")
    let run = try command.run("run", "chain.yaml")
    try #require(run.code == 0, "\(run.said)")
    let pooling = try JSON(contentsOf: command.path("out/1_Pooling/config.json"))
    #expect(pooling["pooling_mode_cls_token"]?.bool == true && pooling["pooling_mode_mean_tokens"]?.bool == false)
    #expect(try !command.read("out/modules.json").contains("Normalize"))
    let lengths = try vectors(command, "out", "sentences.jsonl").map { $0.reduce(0) { $0 + $1 * $1 } }
    #expect(lengths.contains { abs($0 - 1) > 0.01 })
    try command.makeEmbedder("cls", layers: 2, hidden: 16, pooling: "cls_token")
    #expect(try vectors(command, "cls", "sentences.jsonl") != vectors(command, "small", "sentences.jsonl"))
  }
}

/// Vectors of bare encoders as transformers computes them, and students that it reads.
@Suite(.enabled(if: Command.hasTransformers, "RETORT_PYTHON names no Python with torch, transformers and safetensors"))
struct EmbeddingParityTests {
  private static let program = """
    import json, sys, torch, torch.nn.functional as F, transformers as tf
    stem, keys = sys.argv[1], eval(f"dict({sys.argv[2]})")
    torch.manual_seed(3); torch.set_num_threads(1)
    if stem == "DistilBert": sizes = dict(dim=24, n_layers=2, n_heads=3, hidden_dim=40)
    else: sizes = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40)
    if stem == "ModernBert": sizes |= dict(num_hidden_layers=3, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
    model = getattr(tf, stem + "Model")(getattr(tf, stem + "Config")(vocab_size=50, max_position_embeddings=40, **sizes, **keys)).eval()
    with torch.no_grad():
        for p in model.parameters(): p.add_(torch.randn_like(p) * 0.1)
    model.save_pretrained("model")
    rows = [torch.randint(5, 50, (n,)).tolist() for n in (7, 3, 12, 5)]
    with torch.no_grad(): states = [model(torch.tensor([r])).last_hidden_state[0] for r in rows]
    json.dump({"mean": [F.normalize(x.mean(0), dim=0).tolist() for x in states],
               "cls": [F.normalize(x[0], dim=0).tolist() for x in states]}, open("expected.json", "w"))
    with open("rows.jsonl", "w") as f:
        for r in rows: f.write(json.dumps({"ids": r}) + "\\n")
    """

  private static let reader = """
    import json, transformers as tf
    model, info = tf.AutoModel.from_pretrained("out", output_loading_info=True)
    print(type(model).__name__, json.dumps(sorted(info["missing_keys"]) + sorted(info["unexpected_keys"])))
    """

  @Test(.timeLimit(.minutes(8)), arguments: FamilyTests.families)
  func `mean and first token of every family are those of transformers, which reads the student`(
    stem: String, keys: String
  ) throws {
    let command = try Command()
    _ = try command.python(Self.program, stem, keys)
    let expected = try JSON(contentsOf: command.path("expected.json"))
    let plain = try command.read("model/config.json")
    for mode in ["mean", "cls"] {
      let text = plain.replacingOccurrences(
        of: "^\\{", with: "{\"retort_pooling\": {\"mode\": \"\(mode)\"},", options: .regularExpression)
      try command.write("model/config.json", text)
      let said = try command.run("predict", "model", "--input", "rows.jsonl", "--output", "-", "--precision", "fp32")
      try #require(said.code == 0, "\(said.said)")
      let own = try Command.values(said.output).flatMap { $0["embedding"]?.array?.compactMap(\.double) ?? [] }
      let wanted = (expected[mode]?.array ?? []).flatMap { $0.array?.compactMap(\.double) ?? [] }
      try #require(own.count == wanted.count && own.count == 4 * 24)
      for (a, b) in zip(own, wanted) { #expect(abs(a - b) < 1e-5, "\(stem) \(mode): \(a), \(b)") }
    }
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata: {dataset: {train: rows.jsonl, validation: rows.jsonl}, task: {kind: embedding}, max_length: 32}
        defaults: {max_steps: 2, batch_size: 4, precision: fp32}
        steps: [{teacher: model, student_base: model, student_init: {from: teacher, layers: [0]}, output_dir: out}]
      """)
    let run = try command.run("run", "chain.yaml")
    #expect(run.code == 0, "\(run.said)")
    #expect(try command.python(Self.reader).contains("\(stem)Model []"), "\(stem)")
  }
}
