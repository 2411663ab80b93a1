import Foundation
import Platform
import Testing

extension WholeChainTests {
  /// Language modelling from a text file to a perplexity.
  @Suite struct LanguageChainTests {
    /// The toy's sentences as text, a chain of two language models, and what `toy` needs to train a classifier.
    private func chain() throws -> Command {
      let command = try Command()
      try command.makeToy(steps: 12, train: 200, validation: 60, threads: nil)
      for split in ["train", "validation"] {
        let rows = try command.read("toy/data/\(split).tsv").split(separator: "\n").dropFirst()
        let sentences = rows.map { $0.prefix { $0 != "\t" } + "\n" }
        try command.write("toy/text/\(split).txt", sentences.joined())
      }
      try command.write(
        "toy/lm.yaml",
        """
        distillation_chain:
          metadata:
            dataset: text
            task: {kind: language_modeling, documents: line}
            max_length: 32
            seed: 3
          defaults: {batch_size: 8, max_steps: 20, learning_rate: 3e-3, precision: fp32, warmup_steps: 2, temperature: 1.5, alpha: 0.4}
          steps:
            - step_id: first
              teacher: null
              student_base: {family: llama, num_hidden_layers: 2, hidden_size: 32, num_attention_heads: 4, num_key_value_heads: 2, intermediate_size: 64, max_position_embeddings: 64, tokenizer: tokenizer}
              output_dir: \(command.path("toy/out/first"))
              hyperparams: {max_steps: 60, learning_rate: 1e-2}
            - step_id: second
              teacher: first
              student_base: {family: llama, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, num_key_value_heads: 1, intermediate_size: 32, max_position_embeddings: 64, tie_word_embeddings: true}
              output_dir: \(command.path("toy/out/second"))

        """)
      return command
    }

    private func evaluated(_ command: Command, _ step: String, length: Int, ranks: Int = 1, _ more: String...) throws
      -> JSON
    {
      try JSON(
        parsing: command.succeed(
          ["evaluate", "toy/out/\(step)", "--data", "toy/text/validation.txt", "--documents", "line", "--max-length",
            "\(length)", "--json"] + more, ranks: ranks
        ).output)
    }

    @Test(.timeLimit(.minutes(8)))
    func `losses are the same on 1 to 3 ranks with micro-batches, and evaluate gives the perplexity of the run`() throws
    {
      let command = try chain()
      var expected: [String: [Figures]] = [:]
      var last: [String: Figures] = [:]
      var said = ""
      for ranks in 1...3 {
        try command.remove("toy/out")
        said = try command.succeed(
          ["run", "toy/lm.yaml"] + setting("steps.*.hyperparams.gradient_accumulation_steps=\(ranks)"), ranks: ranks
        ).said
        for step in ["first", "second"] {
          let found = try command.metrics("toy/out/\(step)")
          if ranks == 1 {
            expected[step] = found
            last[step] = try command.evaluations("toy/out/\(step)").last
          }
          let alone = try #require(expected[step])
          expectSame(alone, found, within: 1e-4, "\(step) on \(ranks) ranks")
          #expect(alone.map { $0["loss_rows"] } == found.map { $0["loss_rows"] }, "\(step) on \(ranks) ranks")
        }
      }
      let first = try #require(last["first"])
      #expect(abs(first["perplexity"] - exp(first["loss"])) <= 1e-5 * exp(first["loss"]))
      #expect(first["perplexity"] < 60, "the teacher learnt nothing")
      #expect(said.contains("teacher first on the validation split: perplexity"), "\(said)")

      for step in ["first", "second"] {
        let figures = try #require(last[step])
        let found = try evaluated(command, step, length: 32, ranks: 2, "--precision", "fp32")
        let wanted = figures["perplexity"]
        #expect(abs(found.number("perplexity") - wanted) <= 1e-4 * wanted, "\(step): \(found.text())")
        #expect(found.number("count") == figures["count"], "\(step)")
      }
      // Rows of another length predict the same tokens.
      for length in [1, 7, 64] {
        #expect(try evaluated(command, "first", length: length).number("count") == first["count"], "rows of \(length)")
      }
      let ends = try ["first", "second"].map { try JSON(contentsOf: command.path("toy/out/\($0)/config.json")) }
        .map { $0["eos_token_id"] != nil }
      #expect(ends[1] || !ends[0], "the student lacks its teacher's end of text")

      try command.expectRefusal(
        4, "has a vocabulary of", ranks: 2, "run", "toy/lm.yaml", "--set", "steps.1.student_base.vocab_size=999",
        "--set", "steps.1.output_dir=out/third")
      try command.expectRefusal(
        2, "is longer than the model's context of 64 tokens", ranks: 2, "evaluate", "toy/out/first", "--data",
        "toy/text/validation.txt", "--max-length", "65")
      try command.write("blank.txt", " \n")
      try command.expectRefusal(
        3, "has no examples", ranks: 2, "evaluate", "toy/out/first", "--data", "blank.txt")
    }

    @Test(.timeLimit(.minutes(6)))
    func `what does not suit language models is refused`() throws {
      let command = try chain()
      try command.expectRefusal(
        2, "is 128, longer than the context of the student", ranks: 2, "run", "toy/lm.yaml", "--set",
        "metadata.max_length=128", "--fresh")
      try command.expectRefusal(
        2, "is accuracy, which data of kind language_modeling does not have", "run", "toy/lm.yaml", "--set",
        "steps.0.hyperparams.metric=accuracy")
      try command.expectRefusal(
        3, "bert model, but the task has language_modeling data", ranks: 2, "run", "toy/lm.yaml", "--set",
        "steps.0.student_base.family=bert")
    }

    @Test(.timeLimit(.minutes(6)))
    func `a decoder gets a head on sequences for a task with classes`() throws {
      let command = try chain()
      let run = try command.run(
        ["run", "toy/toy.yaml", "--set", "steps.0.student_base.family=llama"], ranks: 2)
      #expect(run.code == 0, "\(run.said)")
      let made = try JSON(contentsOf: command.path("toy/out/first/config.json"))
      #expect(made["architectures"]?.array?.first?.string == "LlamaForSequenceClassification")
      let evaluated = try command.run("evaluate", "toy/out/first", "--data", "toy/data/validation.tsv")
      #expect(evaluated.code == 0 && evaluated.output.hasPrefix("accuracy"), "\(evaluated.said)")
    }

    @Test(.timeLimit(.minutes(6)))
    func `a teacher at chance level is refused`() throws {
      let command = try chain()
      try command.write(
        "toy/lm.yaml",
        try command.read("toy/lm.yaml").replacingOccurrences(
          of: "max_steps: 60, learning_rate: 1e-2", with: "max_steps: 1, learning_rate: 0"))
      try command.expectRefusal(
        4, "is at chance level on the validation split: perplexity", ranks: 2, "run", "toy/lm.yaml")
    }
  }
}
