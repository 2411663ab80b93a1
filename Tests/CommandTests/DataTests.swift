import Foundation
import Testing

/// Data and labels as users bring them, through the whole command.
@Suite struct DataTests {
  /// A chain of one step of plain fine-tuning on files of the test's directory.
  private func chain(
    _ command: Command, dataset: String, task: String = "classification", base: String? = nil, teacher: String = "null",
    values: String = ""
  ) throws {
    let student =
      base
      ?? "{family: bert, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, intermediate_size: 32, "
      + "max_position_embeddings: 64, tokenizer: toy/tokenizer}"
    try command.write(
      "c.yaml",
      """
      distillation_chain:
        metadata: {dataset: \(dataset), task: \(task), max_length: 32}
        parallel: {threads_per_rank: 1}
        defaults: {batch_size: 4, max_steps: 1, precision: fp32\(values)}
        steps:
          - {step_id: s, teacher: \(teacher), student_base: \(student), output_dir: \(command.path("out"))}

      """)
  }

  private func command() throws -> Command {
    let command = try Command()
    try command.makeToy(train: 8, validation: 8)
    return command
  }

  private func trained(_ command: Command) throws -> Command.Result {
    _ = try command.shell("rm -rf out")
    return try command.run("run", "c.yaml")
  }

  @Test func `labels decide together how they are read, and the counts are said`() throws {
    let command = try command()
    try command.write("a.csv", "text,label\n\nfine,World\ngood,Sports\nbad,Sports\nbad,Sport\nok,World\n")
    try chain(command, dataset: "{train: a.csv, validation: a.csv}")
    let names = try trained(command)
    #expect(names.code == 0, "\(names.said)")
    #expect(names.output.contains("a.csv: Sport 1, Sports 2, World 2"))
    #expect(names.output.contains("a.csv:6: the one row of the class \"Sport\"; is it a slip for \"Sports\"?"))
    // The student reads its own names again.
    let again = try command.run("evaluate", "out", "--data", "a.csv", "--json")
    #expect(again.code == 0 && again.output.contains("\"count\": 5"), "\(again.said)")
    try command.write("b.csv", "text,label\nfine,World\ngood,1\n")
    let mixed = try command.run("evaluate", "out", "--data", "b.csv")
    #expect(mixed.code == 3)
    #expect(mixed.errors.contains("b.csv:3: the label \"1\" is a class index, and \"World\" (b.csv:2) is a class name"))
    #expect(!mixed.errors.contains("task:"))
  }

  @Test func `labels from 1 make as many classes as they are, also without a header`() throws {
    let command = try command()
    try command.write("a.csv", (0..<8).map { "\($0 % 4 + 1),Title \($0),\"Text, \($0)\"\n" }.joined())
    try chain(command, dataset: "{train: a.csv, validation: a.csv}", task: "ag_news")
    let known = try trained(command)
    #expect(known.code == 0, "\(known.said)")
    #expect(known.output.contains("count from 1: 1 is class 0 (World), 4 is class 3 (Sci/Tech)"))
    let evaluated = try command.run("evaluate", "out", "--data", "a.csv", "--json")
    #expect(evaluated.code == 0 && evaluated.output.contains("\"count\": 8"), "\(evaluated.said)")
    try chain(
      command, dataset: "{train: a.csv, validation: a.csv}",
      task: "{kind: classification, columns: [stars, title, text], text: [title, text], label: stars}")
    let own = try trained(command)
    #expect(own.code == 0, "\(own.said)")
    #expect(try command.read("out/config.json").contains("\"3\": \"4\""))
  }

  @Test func `a mistyped task and ambiguous labels are refused with the way out`() throws {
    let command = try command()
    try chain(command, dataset: "toy/data", task: "sts2")
    let typo = try trained(command)
    #expect(typo.code == 2 && typo.errors.contains("Did you mean \"sst2\"?"), "\(typo.said)")
    try command.write("a.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": 2}\n")
    try chain(
      command, dataset: "{train: a.jsonl, validation: a.jsonl}", task: "{kind: classification, labels: ['1', '2', '3']}"
    )
    let open = try trained(command)
    #expect(open.code == 3 && open.errors.contains("labels_are: name"), "\(open.said)")
    try chain(
      command, dataset: "{train: a.jsonl, validation: a.jsonl}",
      task: "{kind: classification, labels: ['1', '2', '3'], labels_are: index}")
    #expect(try trained(command).code == 0)
    try chain(
      command, dataset: "{train: a.jsonl, validation: a.jsonl}", task: "{kind: classification, labels_are: boolean}")
    #expect(try trained(command).code == 3)
  }

  @Test func `a student of pairs records them, and reads no single texts`() throws {
    let command = try command()
    let rows =
      "{\"text\": \"good\", \"other\": \"bad\", \"label\": true}\n{\"text\": \"a\", \"other\": \"b\", \"label\": false}\n"
    try command.write("a.jsonl", rows)
    try chain(
      command, dataset: "{train: a.jsonl, validation: a.jsonl}", task: "{kind: classification, text_pair: other}",
      values: ", metric: f1")
    let run = try trained(command)
    #expect(run.code == 0, "\(run.said)")
    #expect(run.output.contains("f1 (binary)") && !run.output.contains(" of 2)"))
    #expect(try command.read("out/config.json").contains("\"text_pair\": \"other\""))
    let evaluated = try command.run("evaluate", "out", "--data", "a.jsonl")
    #expect(evaluated.code == 0 && evaluated.output.hasPrefix("f1 "), "\(evaluated.said)")
    func answers(_ arguments: String...) throws -> String {
      let result = try command.run(["predict", "out", "--input", "a.jsonl", "--output", "p.jsonl"] + arguments)
      return result.code == 0 ? try command.read("p.jsonl") : "\(result.code) \(result.errors)"
    }
    let pairs = try answers()
    #expect(try answers("--text", "text") == pairs)
    #expect(try answers("--text", "text", "--text-pair", "other") == pairs)
    #expect(try answers("--text-pair", "nosuch").hasPrefix("3 "))
    try command.write("a.jsonl", "{\"text\": \"good\"}\n")
    let single = try answers("--text", "text")
    #expect(single.hasPrefix("3 ") && single.contains("pairs of texts"), "\(single)")
  }

  @Test func `a data set is found in all its forms`() throws {
    let command = try command()
    let base = "toy/data"
    try chain(command, dataset: "d", task: "{kind: classification, text: sentence}")
    func digest(_ script: String) throws -> String {
      let made = try command.shell("rm -rf d; mkdir d; \(script)")
      #expect(made.code == 0, "\(made.said)")
      let result = try trained(command)
      #expect(result.code == 0, "\(script): \(result.said)")
      return try command.shell("sha256sum < out/model.safetensors").output
    }
    let plain = try digest("cp \(base)/train.tsv d/train.tsv; cp \(base)/validation.tsv d/val.tsv")
    #expect(try digest("gzip -c \(base)/train.tsv > d/train.tsv.gz; cp \(base)/validation.tsv d/valid.tsv") == plain)
    let shards =
      "head -n 4 \(base)/train.tsv > d/train-00000-of-00002.tsv; cp \(base)/validation.tsv d/dev.tsv; "
      + "(head -n 1 \(base)/train.tsv; tail -n +5 \(base)/train.tsv) > d/train-00001-of-00002.tsv"
    #expect(try digest(shards) == plain)
    #expect(
      try digest("iconv -t utf-16 \(base)/train.tsv > d/train.tsv; cp \(base)/validation.tsv d/validation.tsv") == plain
    )
    _ = try digest("cp \(base)/train.tsv d/train.tsv; cp \(base)/validation.tsv d/test.tsv")
    _ = try command.shell("rm -rf d; mkdir d; cp \(base)/train.tsv d/train.tsv")
    let missing = try trained(command)
    #expect(missing.code == 3 && missing.errors.contains("the validation split is missing"), "\(missing.said)")
    #expect(!missing.errors.contains("huggingface"))
    try chain(
      command, dataset: "{train: d, validation: {share: 0.25}}", task: "{kind: classification, text: sentence}")
    let held = try trained(command)
    #expect(held.code == 0 && held.output.contains("25.0 % of the rows"), "\(held.said)")
    #expect(held.output.contains("of 2 correct") || held.output.contains("of 3 correct"))
  }

  @Test func `a teacher with one output is refused by name`() throws {
    let command = try command()
    try chain(command, dataset: "toy/data", task: "{kind: classification, text: sentence}")
    #expect(try trained(command).code == 0)
    _ = try command.shell("mv out teacher")
    let change = """
      import json, struct, sys
      p = "teacher/model.safetensors"; b = open(p, "rb").read(); n = struct.unpack("<Q", b[:8])[0]
      h = json.loads(b[8:8 + n]); d = b[8 + n:]; out = b""; g = {}
      for k, v in h.items():
          if k == "__metadata__": continue
          a, e = v["data_offsets"]; part = d[a:e]; shape = v["shape"]
          if k.startswith("classifier"): part = part[:len(part) // shape[0]]; shape = [1] + shape[1:]
          g[k] = {"dtype": v["dtype"], "shape": shape, "data_offsets": [len(out), len(out) + len(part)]}; out += part
      t = json.dumps(g).encode(); t += b" " * (-len(t) % 8)
      open(p, "wb").write(struct.pack("<Q", len(t)) + t + out)
      c = json.load(open("teacher/config.json")); c["id2label"] = {"0": "LABEL_0"}; c["label2id"] = {"LABEL_0": 0}
      json.dump(c, open("teacher/config.json", "w"))
      """
    let python = try command.shell("python3 - <<'PY'\n\(change)\nPY")
    guard python.code == 0 else { return }
    try chain(command, dataset: "toy/data", task: "{kind: classification, text: sentence}", teacher: "teacher")
    let refused = try trained(command)
    #expect(refused.code == 3 && refused.errors.contains("has one output (num_labels 1)"), "\(refused.said)")
    let evaluated = try command.run("evaluate", "teacher", "--data", "toy/data/validation.tsv")
    #expect(evaluated.code == 3 && evaluated.errors.contains("has one output (num_labels 1)"), "\(evaluated.said)")
  }

  @Test func `two ranks read shards and compressed files alike`() throws {
    let command = try command()
    _ = try command.shell(
      "mkdir d; for i in 0 1; do (head -n 1 toy/data/train.tsv; tail -n 4 toy/data/train.tsv) | gzip > d/train-$i.tsv.gz; "
        + "done; cp toy/data/validation.tsv d/val.tsv")
    try chain(command, dataset: "d", task: "{kind: classification, text: sentence}")
    let result = try command.run("run", "c.yaml", ranks: 2)
    #expect(result.code == 0, "\(result.said)")
    try command.write("d/val.tsv", "sentence\tlabel\na\t0\nb\tseven\n")
    let refused = try command.shell("rm -rf out")
    #expect(refused.code == 0)
    let bad = try command.run("run", "c.yaml", ranks: 2)
    #expect(bad.code == 3, "\(bad.said)")
    #expect(bad.errors.components(separatedBy: "retort: ").count == 2, "\(bad.errors)")
  }
}
