import Foundation
import Platform
import TestSupport
import Testing

extension Command {
  /// Whether `RETORT_PYTHON` names a Python with these libraries.
  static let hasTransformers: Bool = {
    let python = ProcessInfo.processInfo.environment["RETORT_PYTHON"]
    guard python != nil, let command = try? Command() else { return false }
    return (try? command.shell("\"$RETORT_PYTHON\" -c 'import torch, transformers, safetensors'"))?.code == 0
  }()

  /// Runs a program in Python in the test's directory, and returns its output; throws what it says if it fails.
  func python(_ program: String, _ arguments: String...) throws -> String {
    try write("program.py", program)
    let result = try shell("\"$RETORT_PYTHON\" program.py \"$@\"", ["python"] + arguments, limit: 300)
    guard result.code == 0 else { throw Failure(description: "Python ended with \(result.code): \(result.said)") }
    return result.output
  }

  /// The values in a text of one JSON value a line.
  static func values(_ text: String) throws -> [JSON] {
    try text.split(separator: "\n").map { try JSON(parsing: String($0)) }
  }
}

extension WholeChainTests {
  /// Losses of language models as transformers and PyTorch compute them.
  @Suite(.enabled(if: Command.hasTransformers, "RETORT_PYTHON names no Python with torch, transformers and safetensors"))
  struct TransformersLossTests {
    static let model = Shared.path("data/stories260K")
    static let corpus = Shared.path("data/corpus/tinystories_4M.txt")
    static let hasStories = model != nil && corpus != nil

    @Test(
      .timeLimit(.minutes(10)),
      .enabled(if: TransformersLossTests.hasStories, "no stories260K and no stories in the shared reference material"))
    func `the perplexity of a published model is that of transformers, over text, answers and long documents`() throws {
      let (model, corpus) = (try #require(Self.model), try #require(Self.corpus))
      let command = try Command()
      let stories = try String(contentsOfFile: corpus, encoding: .utf8).split(
        separator: "\n", maxSplits: 60, omittingEmptySubsequences: false)
      try command.write("stories.txt", stories.prefix(60).map { $0 + "\n" }.joined())
      let expected = try Command.values(try command.python(Self.perplexities, model))
      let data = [
        ["--data", "stories.txt", "--documents", "line"],
        ["--data", "stories.txt", "--documents", "line", "--max-length", "40"],
        ["--data", "stories.txt", "--documents", "file", "--max-length", "200"],
        ["--data", "prompts.jsonl"],
      ]
      try #require(expected.count == data.count)
      for (arguments, wanted) in zip(data, expected) {
        for ranks in [1, 3] {
          let found = try JSON(
            parsing: command.succeed(
              ["evaluate", model, "--precision", "fp32", "--json"] + arguments, ranks: ranks
            ).output)
          let isEqual =
            found.number("count") == wanted.number("count")
            && abs(found.number("loss") - wanted.number("loss")) <= 1e-5 * wanted.number("loss")
          #expect(isEqual, "\(arguments) on \(ranks) ranks: \(found.text()), expected \(wanted.text())")
        }
      }
    }

    /// Documents of many lengths, packed into rows.
    @Test(.timeLimit(.minutes(10)))
    func `six optimizer steps of a distillation are those of PyTorch, and transformers reads the student`() throws {
      let command = try Command()
      _ = try command.python(Self.training)
      let expected = try Command.values(try command.read("expected.jsonl"))
      #expect(expected.count == 6)
      try command.write(
        "chain.yaml",
        """
        distillation_chain:
          metadata: {dataset: data, task: language_modeling, max_length: 24}
          steps:
            - teacher: teacher
              student_base: student
              allow_untrained_teacher: true
              output_dir: out
              hyperparams: {max_steps: 6, batch_size: 1000, learning_rate: 2e-3, schedule: constant, alpha: 0.4, temperature: 1.5, precision: fp32}

        """)
      for ranks in [1, 3] {
        try command.remove("out")
        try command.succeed("run", "chain.yaml", ranks: ranks)
        let found = try command.metrics("out")
        expectSteps(found, of: expected, ["loss", "ce", "kd", "gradient_norm", "loss_rows"], "\(ranks) ranks")
      }
      _ = try command.python(Self.reading)
    }

    /// Count and mean loss of four evaluations, a line each.
    private static let perplexities = #"""
      import json
      import sys
      import torch
      from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

      tokenizer = PreTrainedTokenizerFast(tokenizer_file=sys.argv[1] + "/tokenizer.json")
      model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
      text = open("stories.txt", encoding="utf-8").read()
      lines = [line for line in text.split("\n") if line.strip()]


      def perplexity(documents, length):
          """Over pieces of `length` tokens: a document's first token is not predicted, nor are `before` tokens."""
          total, count = 0.0, 0
          with torch.no_grad():
              for ids, before in documents:
                  for start in range(0, len(ids), length):
                      piece = ids[start : start + length]
                      logits = model(torch.tensor([piece])).logits[0].double()
                      for place in range(len(piece)):
                          target = start + place + 1
                          if max(1, before) <= target < len(ids):
                              total -= float(torch.log_softmax(logits[place], -1)[ids[target]])
                              count += 1
          print(json.dumps({"count": count, "loss": total / count}))


      def ids(text):
          return tokenizer(text).input_ids + [2]


      perplexity([(ids(line), 0) for line in lines], 512)
      perplexity([(ids(line), 0) for line in lines], 40)
      perplexity([(ids(text), 0)], 200)
      rows = []
      with open("prompts.jsonl", "w", encoding="utf-8") as file:
          for line in lines:
              prompt, answer = line[: len(line) // 3], line[len(line) // 3 :]
              file.write(json.dumps({"prompt": prompt, "text": answer}) + "\n")
              whole, alone = ids(line), tokenizer(prompt).input_ids
              same = next((i for i, (a, b) in enumerate(zip(whole, alone)) if a != b), len(alone))
              rows.append((whole, same))
      perplexity(rows, 512)
      """#

    /// Writes teacher, student and data, and takes the optimizer steps.
    private static let training = #"""
      import json
      import os
      import torch
      from transformers import LlamaConfig, LlamaForCausalLM

      torch.set_num_threads(1)
      torch.manual_seed(5)
      generator = torch.Generator().manual_seed(1)


      def model(name, **sizes):
          config = LlamaConfig(
              vocab_size=90, max_position_embeddings=64, initializer_range=0.15, rms_norm_eps=1e-5, bos_token_id=1,
              eos_token_id=2, **sizes)
          made = LlamaForCausalLM(config)
          made.save_pretrained(name)
          return made.eval()


      teacher = model("teacher", hidden_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                      intermediate_size=96, tie_word_embeddings=False)
      student = model("student", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
                      intermediate_size=64, tie_word_embeddings=True)
      documents = []
      for index in range(40):
          length = int(torch.randint(2, 60, (1,), generator=generator))
          ids = torch.randint(3, 90, (length,), generator=generator).tolist()
          documents.append((ids, ids[: length // 3] if index % 4 == 0 else []))
      os.makedirs("data")
      for split in ("train", "validation"):
          with open(f"data/{split}.jsonl", "w") as file:
              for ids, prompt in documents:
                  row = {"ids": ids[len(prompt):]}
                  if prompt:
                      row["prompt"] = prompt
                  file.write(json.dumps(row) + "\n")

      T, ce_weight, kd_weight = 1.5, 0.4, 0.6
      optimizer = torch.optim.AdamW(student.parameters(), lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
      with open("expected.jsonl", "w") as out:
          for step in range(6):
              hard, soft, count = 0.0, 0.0, 0
              for ids, prompt in documents:
                  for start in range(0, len(ids), 24):
                      piece = ids[start : start + 24]
                      places = [i for i in range(len(piece)) if max(1, len(prompt)) <= start + i + 1 < len(ids)]
                      if not places:
                          continue
                      targets = torch.tensor([ids[start + i + 1] for i in places])
                      inputs = torch.tensor([piece])
                      with torch.no_grad():
                          theirs = torch.log_softmax(teacher(inputs).logits[0, places].double() / T, -1)
                      logits = student(inputs).logits[0, places].double()
                      ours = torch.log_softmax(logits / T, -1)
                      hard = hard + torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
                      soft = soft + T * T * (theirs.exp() * (theirs - ours)).sum()
                      count += len(places)
              loss = (ce_weight * hard + kd_weight * soft) / count
              optimizer.zero_grad()
              loss.backward()
              norm = torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
              optimizer.step()
              figures = {"loss": float(loss), "ce": float(hard) / count, "kd": float(soft) / count,
                         "gradient_norm": float(norm), "loss_rows": count}
              print(json.dumps(figures), file=out)
      """#

    private static let reading = #"""
      from transformers import LlamaForCausalLM

      model, report = LlamaForCausalLM.from_pretrained("out", output_loading_info=True)
      assert not report["missing_keys"] and not report["unexpected_keys"], report
      """#
  }
}
