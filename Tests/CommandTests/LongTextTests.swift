import Foundation
import Platform
import Testing

/// Texts longer than the maximum length for taggers and embedders, against the windows of `transformers`.
@Suite(.enabled(if: Command.hasTransformers, "RETORT_PYTHON names no Python with torch, transformers and safetensors"))
struct LongTextTests {
  /// Writes a `tagger`, an `embedder`, `rows.jsonl`, `texts.jsonl` and `expected.json`: the logits of each word from the
  /// window in which it is farthest from a cut, and the mean of the windows' vectors by tokens.
  private static let program = """
    import json, torch, torch.nn.functional as F, transformers as tf
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    torch.manual_seed(3); torch.set_num_threads(1)
    pieces = [chr(c) for c in range(97, 123)]; vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + pieces + ["##" + p for p in pieces]
    t = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocab)}, unk_token="[UNK]")); t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    fast = tf.PreTrainedTokenizerFast(tokenizer_object=t, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    sizes = dict(vocab_size=len(vocab), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_position_embeddings=12)
    names = ["O", "B-X", "I-X"]
    tagger = tf.BertForTokenClassification(tf.BertConfig(num_labels=3, id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)}, **sizes)).eval()
    embedder = tf.BertModel(tf.BertConfig(**sizes)).eval()
    with torch.no_grad():
        for m in (tagger, embedder):
            for p in m.parameters(): p.add_(torch.randn_like(p) * 0.3)
    for m, name in ((tagger, "tagger"), (embedder, "embedder")): m.save_pretrained(name); fast.save_pretrained(name)
    rows = [["ab", "c", "defg", "h", "ij", "k", "lmn", "o", "pq", "r", "stu", "v", "wx", "y", "z"], ["a", "bc"], ["abcdefghijklmnop"], list("abcdefghijklm")]
    length, stride = 10, 3
    def windows(**a): return fast(truncation=True, max_length=length, stride=stride, return_overflowing_tokens=True, **a)
    expected = {"tags": [], "vectors": []}
    with torch.no_grad():
        for words in rows:
            e = windows(text=words, is_split_into_words=True); whole = fast(words, is_split_into_words=True).word_ids()[1:-1]; count = len(whole)
            firsts = [i for i, w in enumerate(whole) if i == 0 or w != whole[i - 1]]; best = {}; ends = dict(zip(firsts, firsts[1:] + [count]))
            start = 0
            for k in range(len(e["input_ids"])):
                ids = e["input_ids"][k]; n = len(ids) - 2; logits = tagger(torch.tensor([ids])).logits[0]
                for i in firsts:
                    if start <= i < start + n:
                        room = min(10 ** 9 if start == 0 else i - start, 10 ** 9 if start + n == count else start + n - ends[i])
                        if i not in best or room > best[i][0]: best[i] = (room, logits[i - start + 1].tolist())
                start += n - stride
            expected["tags"].append([best[i][1] for i in firsts])
            e = windows(text=" ".join(words)); v, total = 0, 0
            for ids in e["input_ids"]:
                s = embedder(torch.tensor([ids])).last_hidden_state[0].mean(0); v = v + len(ids) * s / s.norm(); total += len(ids)
            expected["vectors"].append((v / v.norm()).tolist())
    json.dump(expected, open("expected.json", "w"))
    with open("rows.jsonl", "w") as f:
        for r in rows: f.write(json.dumps({"tokens": r, "tags": ["B-X" if i % 3 == 0 else "I-X" for i in range(len(r))]}) + "\\n")
    with open("texts.jsonl", "w") as f:
        for r in rows: f.write(json.dumps({"text": " ".join(r)}) + "\\n")
    """

  @Test(.timeLimit(.minutes(6)))
  func `words and vectors of long texts are those of the windows of transformers`() throws {
    let command = try Command()
    _ = try command.python(Self.program)
    let expected = try JSON(contentsOf: command.path("expected.json"))
    func predict(_ model: String, _ file: String) throws -> [JSON] {
      let said = try command.run(
        "predict", model, "--input", file, "--output", "-", "--precision", "fp32", "--max-length", "10", "--stride", "3"
      )
      try #require(said.code == 0, "\(said.said)")
      return try Command.values(said.output)
    }
    for file in ["rows.jsonl", "texts.jsonl"] {
      for (answer, wanted) in zip(try predict("tagger", file), expected["tags"]?.array ?? []) {
        let (own, theirs) = (answer["logits"]?.array ?? [], wanted.array ?? [])
        try #require(own.count == theirs.count && !own.isEmpty, "\(answer.text())")
        for (a, b) in zip(own, theirs) { try expectClose(a, b) }
      }
    }
    for (answer, wanted) in zip(try predict("embedder", "texts.jsonl"), expected["vectors"]?.array ?? []) {
      try expectClose(try #require(answer["embedding"]), wanted)
    }
    // The text of a row of words is the words joined by spaces, so both forms of a row give the same entities.
    let entities = try predict("tagger", "rows.jsonl").map { $0["entities"]?.text() ?? "" }
    #expect(try predict("tagger", "texts.jsonl").map { $0["entities"]?.text() ?? "" } == entities)
  }

  private func expectClose(_ a: JSON, _ b: JSON) throws {
    let (x, y) = (a.array?.compactMap(\.double) ?? [], b.array?.compactMap(\.double) ?? [])
    try #require(x.count == y.count && !x.isEmpty)
    for (p, q) in zip(x, y) { #expect(abs(p - q) < 1e-4, "\(p) for \(q)") }
  }

  @Test(.timeLimit(.minutes(6)), .enabled(if: Command.hasMPI, "mpirun is missing"))
  func `training, checkpoints and metrics over windows are the same on one rank and on two`() throws {
    let command = try Command()
    _ = try command.python(Self.program)
    for (kind, model, data, keys) in [
      ("token_classification", "tagger", "rows.jsonl", ""), ("embedding", "embedder", "texts.jsonl", ""),
    ] {
      try command.write(
        "chain.yaml",
        """
        distillation_chain:
          metadata: {dataset: {train: \(data), validation: \(data)}, task: {kind: \(kind), stride: 3}, max_length: 10, seed: 1}
          defaults: {learning_rate: 1e-3, max_steps: 4, batch_size: 3, precision: fp32, dropout: 0.1\(keys)}
          steps:
            - {step_id: taught, teacher: \(model), student_base: {family: bert}, student_init: {from: \(model), layers: [0]}, allow_untrained_teacher: true, output_dir: out}
        """)
      var losses: [[Double]] = []
      for ranks in [1, 2] {
        try command.remove("out")
        let run = try command.run(["run", "chain.yaml"], ranks: ranks)
        try #require(run.code == 0, "\(run.said)")
        #expect(!run.said.contains("were cut"), "\(run.said)")
        losses.append(try command.metrics("out").map { $0["loss"] })
      }
      #expect(losses[0].count == 4)
      for (a, b) in zip(losses[0], losses[1]) { #expect(abs(a - b) < 1e-5 * max(1, abs(a)), "\(losses)") }
      // The student remembers the stride.
      let record = try JSON(contentsOf: command.path("out/config.json"))["retort_task"]
      #expect(record?["stride"]?.int == 3 && record?["max_length"]?.int == 10)
      let said = try command.run("predict", "out", "--input", data, "--output", "-")
      #expect(said.code == 0 && !said.errors.contains("cut"), "\(said.said)")
      if kind == "token_classification" {
        let counts = try Command.values(said.output).map { $0["labels"]?.array?.count ?? 0 }
        #expect(counts == [15, 2, 1, 13])
        let measured = try command.run("evaluate", "out", "--data", data, "--json")
        let result = try #require(try Command.values(measured.output).first)
        #expect(result["count"]?.int == 31, "\(measured.said)")
      }
    }
  }

  @Test func `a stride that cannot be is refused with its place and what is allowed`() throws {
    let command = try Command()
    try command.makeEmbedder("teacher", layers: 2, hidden: 16)
    try command.makeSentences()
    func chain(_ task: String, length: Int) -> String {
      """
      distillation_chain:
        metadata:
          dataset: {train: sentences.jsonl, validation: sentences.jsonl}
          task: \(task)
          max_length: \(length)
        steps:
          - {step_id: s, teacher: teacher, student_base: teacher, output_dir: out, allow_untrained_teacher: true}
      """
    }
    for (task, length, said) in [
      ("{kind: embedding, stride: 20}", 20, ["chain.yaml:4", "metadata.task.stride", "not below max_length, 20"]),
      ("{kind: embedding, stride: 18}", 20, ["chain.yaml:4", "18 tokens of text in a window", "0 to 17"]),
      ("{kind: embedding, stride: -1}", 20, ["chain.yaml:4", "outside the allowed range"]),
      ("{kind: embedding, stride: half}", 20, ["chain.yaml:4", "a whole number was expected"]),
      ("{kind: classification, stride: 4}", 20, ["chain.yaml:4", "for token_classification, embedding"]),
    ] {
      try command.write("chain.yaml", chain(task, length: length))
      let refused = try command.run("run", "chain.yaml")
      #expect(refused.code == 2, "\(refused.said)")
      for part in said { #expect(refused.errors.contains(part), "\(part): \(refused.said)") }
      #expect(!command.exists("out"))
    }
    let refused = try command.run(
      "predict", "teacher", "--input", "sentences.jsonl", "--output", "-", "--max-length", "8", "--stride", "6")
    #expect(refused.code == 2 && refused.errors.contains("--stride") && refused.errors.contains("0 to 5"))
  }
}
