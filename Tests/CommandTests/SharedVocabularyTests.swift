import Foundation
import Platform
import Testing

extension Command {
  /// Writes a `tokenizer.json` of the words `w0`, `w1`, ….
  func writeWords(_ count: Int, to directory: String) throws {
    let words = (0..<count).map { "\"w\($0)\": \($0)" }.joined(separator: ", ")
    try write(
      "\(directory)/tokenizer.json",
      """
      {"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
       "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
       "model": {"type": "WordPiece", "unk_token": "w0", "continuing_subword_prefix": "##",
                 "max_input_chars_per_word": 100, "vocab": {\(words)}}}

      """)
  }
}

/// A teacher and a student that share a tokenizer and have vocabularies of different sizes, both padded.
@Suite struct SharedVocabularyTests {
  /// A chain of two language models with 104 and 99 rows for a tokenizer of 95 tokens; ids of the data end at 92.
  private func chain() throws -> Command {
    let command = try Command()
    try command.writeWords(95, to: "words")
    for (seed, split) in ["train", "validation"].enumerated() {
      try command.write("data/\(split).jsonl", Numbers.documents(12, seed: seed))
    }
    let sizes =
      "family: llama, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, num_key_value_heads: 1, "
      + "intermediate_size: 24, max_position_embeddings: 64"
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata: {dataset: data, task: language_modeling, max_length: 24}
        defaults: {batch_size: 6, max_steps: 2, learning_rate: 3e-3, precision: fp32}
        steps:
          - step_id: first
            teacher: null
            student_base: {\(sizes), vocab_size: 104, tokenizer: words}
            output_dir: first
          - step_id: second
            teacher: first
            allow_untrained_teacher: true
            student_base: {\(sizes), vocab_size: 99, tokenizer: words}
            output_dir: second

      """)
    return command
  }

  @Test func `different sizes are refused with each figure and the key, and with the key only the tokens count`() throws
  {
    let command = try chain()
    let parts = [
      "chain.yaml:10: steps.1.teacher", "a vocabulary of 104 tokens", "one of 99", "their tokenizer has 95",
      "shared_vocabulary: true in the step compares the first 95 alone",
    ]
    let cluster = Command.root + "/cluster-configs/laptop.yaml"
    for arguments in [["run", "chain.yaml"], ["plan", "chain.yaml", "--cluster", cluster]] {
      let refused = try command.run(arguments)
      #expect(refused.code == 4, "\(arguments): \(refused.said)")
      for part in parts { #expect(refused.said.contains(part), "\(arguments): \(refused.said)") }
    }
    #expect(!command.exists("first"), "a step was run before the refusal")

    let key = ["--set", "steps.1.shared_vocabulary=true"]
    try command.succeed(["plan", "chain.yaml", "--cluster", cluster] + key)
    let dry = try command.succeed(["run", "chain.yaml", "--dry-run"] + key).said
    #expect(dry.contains("on the first 95 tokens of teacher and student (shared_vocabulary)"), "\(dry)")
    try command.succeed(["run", "chain.yaml"] + key, ranks: 2)
    let record = try JSON(contentsOf: command.path("second/training/step.json"))
    #expect(record.text().contains("\"shared_vocabulary\": 95"), "\(record.text())")
    #expect(try JSON(contentsOf: command.path("second/config.json"))["vocab_size"] == 99)

    // An id that is no token is refused with its line, whatever rows the models have.
    let rows = try command.read("data/train.jsonl")
    try command.write("data/train.jsonl", rows + "{\"ids\": [5, 97, 6]}\n")
    try command.expectRefusal(
      3, "train.jsonl:13: the token id 97 is outside the model's vocabulary of 95", "run", "chain.yaml", key[0], key[1])
  }

  @Test func `ids beyond a teacher's rows are refused before anything runs, with sorted_l1 too`() throws {
    let command = try chain()
    let rows = try command.read("data/train.jsonl")
    try command.write("data/train.jsonl", rows + "{\"ids\": [5, 101, 6]}\n")
    try command.expectRefusal(
      3, "the token id 101 is outside the model's vocabulary of 99",
      "run", "chain.yaml", "--set", "steps.0.student_base.vocab_size=99", "--set",
      "steps.1.student_base.vocab_size=104", "--set", "steps.1.hyperparams.objectives=[{kind: sorted_l1}]")
  }

  @Test func `the key is refused where there is nothing to share`() throws {
    let command = try chain()
    try command.expectRefusal(
      2, "steps.0.shared_vocabulary: has no meaning for a step without a teacher",
      "run", "chain.yaml", "--set", "steps.0.shared_vocabulary=true")
    try command.makeToy(steps: 1)
    try command.expectRefusal(
      2, "only language models have logits of a vocabulary",
      "run", "toy/toy.yaml", "--set", "steps.1.shared_vocabulary=true")
  }

  @Test func `layers of a teacher with other rows are refused with both shapes`() throws {
    let command = try chain()
    try command.expectRefusal(
      2, "has shape [99, 16] in the student and [104, 16] in the teacher",
      "run", "chain.yaml", "--set", "steps.1.shared_vocabulary=true", "--set",
      "steps.1.student_init={from: teacher, layers: [0]}")
  }

  @Test func `without vocab_size a student has its teacher's rows, in a plan too`() throws {
    let command = try chain()
    let chain = try command.read("chain.yaml").replacingOccurrences(of: ", vocab_size: 99", with: "")
    try command.write("chain.yaml", chain)
    try command.succeed("plan", "chain.yaml", "--cluster", Command.root + "/cluster-configs/laptop.yaml")
    #expect(try command.succeed("run", "chain.yaml", "--dry-run").said.contains("first"))
  }
}

extension WholeChainTests {
  /// Losses of padded vocabularies as PyTorch computes them from the columns that are shared.
  @Suite(.enabled(if: Command.hasTransformers, "RETORT_PYTHON names no Python with torch, transformers and safetensors"))
  struct TransformersVocabularyTests {
    /// Rows of the teacher, of the student, and tokens of their tokenizer (0: they have none).
    @Test(.timeLimit(.minutes(10)), arguments: [(110, 101, 95), (99, 120, 95), (97, 104, 0), (104, 104, 95)])
    func `optimizer steps on shared tokens are those of PyTorch, in every placement`(
      theirs: Int, own: Int, tokens: Int
    ) throws {
      let command = try Command()
      let shared = tokens == 0 ? min(theirs, own) : min(theirs, own, tokens)
      for (seed, split) in ["train", "validation"].enumerated() {
        try command.write("data/\(split).jsonl", Numbers.documents(20, seed: seed))
      }
      _ = try command.python(Self.training, "\(theirs)", "\(own)", "\(shared)")
      if tokens > 0 { for model in ["teacher", "student"] { try command.writeWords(tokens, to: model) } }
      let expected = try Command.values(try command.read("expected.jsonl"))
      #expect(expected.count == 4)
      try command.write(
        "chain.yaml",
        """
        distillation_chain:
          metadata: {dataset: data, task: language_modeling, max_length: 24}
          steps:
            - teacher: teacher
              student_base: student
              shared_vocabulary: true
              allow_untrained_teacher: true
              output_dir: out
              hyperparams:
                {max_steps: 4, batch_size: 1000, learning_rate: 2e-3, schedule: constant, precision: fp32, objectives: [{kind: cross_entropy, weight: 0.4}, {kind: forward_kl, weight: 0.3, temperature: 1.5}, {kind: reverse_kl, weight: 0.3, temperature: 1.5}]}

        """)
      let placements: [(ranks: Int, keys: String)] = [
        (1, "{placement: resident}"), (1, "{placement: streamed}"), (2, "{placement: sharded, payload: hidden}"),
        (3, "{placement: dedicated, payload: logits}"),
        (2, "{placement: sharded, payload: top_k, top_k: \(theirs)}"),
      ]
      for (ranks, keys) in placements {
        try command.remove("out")
        try command.succeed(["run", "chain.yaml", "--set", "parallel.teacher=\(keys)"], ranks: ranks)
        let found = try command.metrics("out")
        expectSteps(found, of: expected, ["loss", "gradient_norm"], keys)
        for (step, wanted) in zip(found, expected) {
          for (name, figure) in wanted["terms"]?.object ?? [:] {
            let (value, figure) = (step.terms[name] ?? .nan, figure.double ?? .nan)
            #expect(abs(value - figure) <= 1e-4 * figure, "\(keys), step \(step.step): \(name) is \(value), not \(figure)")
          }
        }
      }
    }

    /// Writes teacher and student, and takes the optimizer steps.
    private static let training = #"""
      import json
      import sys
      import torch
      from transformers import LlamaConfig, LlamaForCausalLM

      torch.set_num_threads(1)
      torch.manual_seed(5)
      theirs, own, shared = map(int, sys.argv[1:])


      def model(name, rows, hidden, layers, tied):
          config = LlamaConfig(
              vocab_size=rows, max_position_embeddings=64, initializer_range=0.15, rms_norm_eps=1e-5, bos_token_id=1,
              eos_token_id=2, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=4,
              num_key_value_heads=2, intermediate_size=2 * hidden, tie_word_embeddings=tied)
          made = LlamaForCausalLM(config)
          # Padding that a softmax over all rows would see.
          with torch.no_grad():
              made.get_output_embeddings().weight[shared:] *= 6
          made.save_pretrained(name)
          return made.eval()


      teacher, student = model("teacher", theirs, 48, 3, False), model("student", own, 32, 2, True)
      documents = [json.loads(line)["ids"] for line in open("data/train.jsonl")]
      T = 1.5
      optimizer = torch.optim.AdamW(student.parameters(), lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
      with open("expected.jsonl", "w") as out:
          for step in range(4):
              hard, forward, reverse, count = 0.0, 0.0, 0.0, 0
              for ids in documents:
                  for start in range(0, len(ids), 24):
                      piece = ids[start : start + 24]
                      places = [i for i in range(len(piece)) if start + i + 1 < len(ids)]
                      if not places:
                          continue
                      targets = torch.tensor([ids[start + i + 1] for i in places])
                      inputs = torch.tensor([piece])
                      with torch.no_grad():
                          t = torch.log_softmax(teacher(inputs).logits[0, places, :shared].double() / T, -1)
                      logits = student(inputs).logits[0, places].double()
                      s = torch.log_softmax(logits[:, :shared] / T, -1)
                      hard = hard + torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
                      forward = forward + T * T * (t.exp() * (t - s)).sum()
                      reverse = reverse + T * T * (s.exp() * (s - t)).sum()
                      count += len(places)
              loss = (0.4 * hard + 0.3 * forward + 0.3 * reverse) / count
              optimizer.zero_grad()
              loss.backward()
              norm = torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
              optimizer.step()
              terms = {"cross_entropy": float(hard) / count, "forward_kl": float(forward) / count,
                       "reverse_kl": float(reverse) / count}
              print(json.dumps({"loss": float(loss), "gradient_norm": float(norm), "terms": terms}), file=out)
      """#
  }
}
