import Foundation
import Platform
import Testing

/// Taggers, scorers and classifiers of several labels as users train, measure and ask them, and what is refused.
@Suite(.timeLimit(.minutes(8))) struct TaskTests {
  /// A vocabulary of single words, in which names are in two pieces.
  private static let vocabulary =
    [
      "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ann", "##a", "bo", "##b", "oslo", "##o", "ro", "##me", "lives",
      "in", "likes", "and", ".", "film", "good", "bad", "the",
    ]

  private func command() throws -> Command {
    let command = try Command()
    try command.write("tokenizer/vocab.txt", Self.vocabulary.joined(separator: "\n") + "\n")
    try command.write(
      "tokenizer/tokenizer_config.json", #"{"tokenizer_class": "BertTokenizer", "do_lower_case": true}"#)
    return command
  }

  private static let base =
    "{family: bert, num_hidden_layers: 2, hidden_size: 32, num_attention_heads: 2, intermediate_size: 64, "
    + "max_position_embeddings: 32, initializer_range: 0.2, tokenizer: tokenizer}"

  private func chain(
    _ task: String, data: String, validation: String? = nil, steps: String? = nil, values: String = "",
    maxLength: Int = 24
  ) -> String {
    """
    distillation_chain:
      metadata: {dataset: {train: \(data), validation: \(validation ?? data)}, task: \(task), max_length: \(maxLength), seed: 3}
      defaults: {batch_size: 8, max_steps: 60, learning_rate: 3e-3, schedule: constant, precision: fp32\(values)}
      steps:
    \(steps ?? """
        - {step_id: first, teacher: null, student_base: \(Self.base), output_dir: first}
        - {step_id: second, teacher: first, student_base: {family: bert, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, intermediate_size: 32, max_position_embeddings: 32, tokenizer: tokenizer}, output_dir: second}
      """)
    """
  }

  private static let sentences = [
    (["Anna", "lives", "in", "Oslo", "."], ["B-PER", "O", "O", "B-LOC", "O"]),
    (["Bob", "likes", "Rome", "."], ["B-PER", "O", "B-LOC", "O"]),
    (["Anna", "Bob", "lives", "in", "Rome"], ["B-PER", "I-PER", "O", "O", "B-LOC"]),
    (["the", "film", "and", "Bob"], ["O", "O", "O", "B-PER"]),
  ]

  private static var conll: String {
    "-DOCSTART- -X- O\n\n"
      + sentences.map { words, tags in zip(words, tags).map { "\($0) NN \($1)\n" }.joined() }.joined(separator: "\n")
  }

  @Test func `a tagger learns entities from CoNLL files, words or spans, and gives them with their characters`() throws
  {
    let command = try command()
    try command.write("data.conll", Self.conll)
    try command.write("data.tsv", Self.conll.replacingOccurrences(of: " ", with: "\t"))
    let rows = Self.sentences.map { words, tags in
      JSON.object(["tokens": .array(words.map(JSON.string)), "tags": .array(tags.map(JSON.string))]).text() + "\n"
    }
    try command.write("data.jsonl", rows.joined())
    var figures: [[Double]] = []
    for name in ["data.conll", "data.tsv", "data.jsonl"] {
      try command.remove("first")
      try command.remove("second")
      try command.write("chain.yaml", chain("token_classification", data: name, values: ", metric: loss"))
      let run = try command.run("run", "chain.yaml")
      #expect(run.code == 0, "\(run.said)")
      figures.append(try command.metrics("second").map { $0["loss"] })
      let evaluated = try command.run("evaluate", "first", "--data", name, "--json")
      let result = try JSON(parsing: evaluated.output)
      #expect((result["entity_f1"]?.double ?? 0) > 0.9, "\(evaluated.said)")
      #expect(result["entities"]?["PER"]?["count"]?.int == 4 && result["count"]?.int == 18)
    }
    #expect(figures[0] == figures[1] && figures[0] == figures[2] && figures[0].count == 60)

    let configuration = try JSON(contentsOf: command.path("second/config.json"))
    #expect(configuration["architectures"]?.array?.first?.string == "BertForTokenClassification")
    #expect(configuration["problem_type"] == nil && configuration["id2label"]?["0"]?.string == "O")
    try command.write(
      "in.jsonl",
      "{\"text\": \"Anna Bob likes  Oslo.\"}\n{\"text\": \"the film\"}\n")
    let said = try command.run("predict", "first", "--input", "in.jsonl", "--output", "-")
    let answers = try Command.values(said.output)
    #expect(answers.count == 2 && answers[0]["labels"]?.array?.count == 5, "\(said.said)")
    let entities = answers[0]["entities"]?.array ?? []
    #expect(entities.map { $0["text"]?.string } == ["Anna Bob", "Oslo"], "\(said.said)")
    #expect(entities.map { $0["start"]?.int } == [0, 16] && entities.map { $0["end"]?.int } == [8, 20])
    #expect(entities.allSatisfy { (0...1).contains($0["score"]?.double ?? -1) })
    #expect(answers[1]["entities"]?.array?.isEmpty == true && answers[1]["logits"]?.array?.count == 2)

    // Spans of the text become the same tags.
    let spans = [
      #"{"text": "Anna Bob lives in Rome", "entities": [{"start": 0, "end": 8, "label": "PER"}, {"start": 18, "end": 22, "label": "LOC"}]}"#,
      #"{"text": "the film.", "entities": []}"#,
    ]
    try command.write("spans.jsonl", spans.joined(separator: "\n") + "\n")
    let evaluated = try command.run("evaluate", "first", "--data", "spans.jsonl", "--json")
    let result = try JSON(parsing: evaluated.output)
    #expect(result["entities"]?["PER"]?["count"]?.int == 1 && result["count"]?.int == 8, "\(evaluated.said)")
  }

  @Test func `plain text and tables of texts are texts for a tagger, not words with tags`() throws {
    let command = try command()
    try command.write("data.conll", Self.conll)
    try command.write("chain.yaml", chain("token_classification", data: "data.conll"))
    #expect(try command.run("run", "chain.yaml").code == 0)
    try command.write("in.txt", "Anna lives in Oslo\nthe film and Bob .\n")
    try command.write("in.tsv", "id\ttext\n1\tAnna lives in Oslo\n2\tthe film and Bob .\n")
    try command.write("in.jsonl", "{\"text\": \"Anna lives in Oslo\"}\n{\"text\": \"the film and Bob .\"}\n")
    var answers: [String] = []
    for name in ["in.txt", "in.tsv", "in.jsonl"] {
      let said = try command.run("predict", "second", "--input", name, "--output", "-")
      #expect(said.code == 0, "\(name): \(said.said)")
      answers.append(said.output)
    }
    #expect(answers[0] == answers[2] && answers[1] == answers[2])
    #expect(try Command.values(answers[0]).map { $0["labels"]?.array?.count } == [4, 5])
    // A file of words with tags is the same with and without the tags.
    try command.write("words.tsv", "Anna\tB-PER\nlives\tO\n")
    let words = try command.run("predict", "second", "--input", "words.tsv", "--output", "-")
    #expect(try Command.values(words.output).map { $0["labels"]?.array?.count } == [2], "\(words.said)")
  }

  @Test func `tags that are no parts of entities have an accuracy and no entities`() throws {
    let command = try command()
    let rows = #"{"tokens": ["Bob", "likes", "Rome"], "tags": ["NOUN", "VERB", "NOUN"]}"# + "\n"
    try command.write("data.jsonl", String(repeating: rows, count: 8))
    try command.write("chain.yaml", chain("token_classification", data: "data.jsonl", values: ", metric: accuracy"))
    #expect(try command.run("run", "chain.yaml").code == 0)
    let evaluated = try command.run("evaluate", "second", "--data", "data.jsonl")
    #expect(evaluated.output.hasPrefix("accuracy") && !evaluated.output.contains("entity"), "\(evaluated.said)")
    let said = try command.run("predict", "second", "--input", "data.jsonl", "--output", "-")
    #expect(try Command.values(said.output)[0]["entities"] == nil)
    try command.write("chain.yaml", chain("token_classification", data: "data.jsonl", values: ", metric: entity_f1"))
    let refused = try command.run("run", "chain.yaml")
    #expect(refused.code == 2 && refused.errors.contains("no parts of entities"), "\(refused.said)")
  }

  @Test func `a scorer learns numbers for pairs, and is judged by the correlation`() throws {
    let command = try command()
    var lines = "sentence1\tsentence2\tscore\n"
    for (a, b, score) in [
      ("good film", "the good film", 4.5), ("bad film", "good film", 1.5), ("bob", "bad", 0.25), ("rome", "rome", 5),
    ] {
      for _ in 0..<3 { lines += "\(a)\t\(b)\t\(score)\n" }
    }
    try command.write("data.tsv", lines)
    try command.write("chain.yaml", chain("stsb", data: "data.tsv", values: ", alpha: 0.5, metric: loss"))
    let run = try command.run("run", "chain.yaml")
    #expect(run.code == 0, "\(run.said)")
    let configuration = try JSON(contentsOf: command.path("second/config.json"))
    #expect(configuration["problem_type"]?.string == "regression")
    #expect(configuration["architectures"]?.array?.first?.string == "BertForSequenceClassification")
    let evaluated = try command.run("evaluate", "first", "--data", "data.tsv", "--json")
    let result = try JSON(parsing: evaluated.output)
    #expect((result["spearman"]?.double ?? 0) > 0.9, "\(evaluated.said)")
    #expect(result["pearson"] != nil && result["mse"] != nil && result["count"]?.int == 12)
    let said = try command.run("predict", "second", "--input", "data.tsv", "--output", "-")
    let answers = try Command.values(said.output)
    #expect(answers.count == 12 && answers[0]["score"]?.double == answers[0]["logits"]?.array?.first?.double)
    let terms = try command.metrics("second")
    #expect(terms.count == 60)
  }

  @Test func `a classifier of several labels learns any number of them, and its threshold is kept`() throws {
    let command = try command()
    let rows = [
      #"{"text": "good film", "labels": ["joy", "film"]}"#, #"{"text": "bad", "labels": []}"#,
      #"{"text": "bad film", "labels": ["film"]}"#, #"{"text": "good", "labels": ["joy"]}"#,
    ]
    try command.write("data.jsonl", String(repeating: rows.joined(separator: "\n") + "\n", count: 3))
    try command.write(
      "chain.yaml",
      chain("{kind: multi_label, labels: [joy, film], threshold: 0.4}", data: "data.jsonl", values: ", metric: loss"))
    let run = try command.run("run", "chain.yaml")
    #expect(run.code == 0, "\(run.said)")
    let configuration = try JSON(contentsOf: command.path("second/config.json"))
    #expect(configuration["problem_type"]?.string == "multi_label_classification")
    #expect(configuration["retort_task"]?["threshold"]?.double == 0.4)
    let evaluated = try command.run("evaluate", "first", "--data", "data.jsonl", "--json")
    let result = try JSON(parsing: evaluated.output)
    #expect((result["micro_f1"]?.double ?? 0) > 0.9, "\(evaluated.said)")
    #expect(result["labels"]?["joy"]?["count"]?.int == 6 && result["subset_accuracy"] != nil)
    let said = try command.run("predict", "first", "--input", "data.jsonl", "--output", "-")
    #expect(
      try Command.values(said.output).prefix(4).map { $0["labels"]?.array?.compactMap(\.string) }
        == [["joy", "film"], [], ["film"], ["joy"]], "\(said.said)")
    // A table has its labels in one field.
    try command.write("data.tsv", "text\tlabels\ngood film\tjoy,film\nbad\t\n")
    let table = try JSON(parsing: command.run("evaluate", "first", "--data", "data.tsv", "--json").output)
    #expect(table["labels"]?["film"]?["count"]?.int == 1 && table["count"]?.int == 2)
  }

  /// Rows that are refused, each with a part of the message; the line is that of the second row.
  static let wrong: [(task: String, row: String, said: String)] = [
    ("token_classification", #"{"tokens": ["Bob", "left"], "tags": ["B-PER", "O", "O"]}"#, "2 words and 3 tags"),
    ("token_classification", #"{"tokens": ["Bob", "left"], "tags": ["PER", "O"]}"#, "\"PER\" is no part of an entity"),
    ("token_classification", #"{"tokens": ["Bob", "left"], "tags": ["U-PER", "O"]}"#, "S-TYPE for U-"),
    ("token_classification", #"{"tokens": "Bob left", "tags": ["B-PER", "O"]}"#, "a list of words was expected"),
    ("token_classification", #"{"ids": [5, 6], "tags": [0]}"#, "2 ids and 1 tags"),
    ("regression", #"{"text": "good", "score": "much"}"#, "\"much\" is no number"),
    ("regression", #"{"text": "good", "score": [1]}"#, "is no number"),
    (
      "{kind: multi_label, labels: [joy, film]}", #"{"text": "good", "labels": ["anger"]}"#,
      "\"anger\" is not in the set"
    ),
    ("{kind: multi_label, labels: [joy, film]}", #"{"text": "good", "labels": [0.5]}"#, "a number with a fraction"),
  ]

  @Test(arguments: wrong)
  func `a row that does not fit its task is refused with its line`(task: String, row: String, said: String) throws {
    let command = try command()
    let first =
      task.hasPrefix("token")
      ? (row.contains("ids")
        ? #"{"ids": [5, 6], "tags": [0, 1]}"# : #"{"tokens": ["Bob", "left"], "tags": ["B-PER", "O"]}"#)
      : task == "regression" ? #"{"text": "bad", "score": 1}"# : #"{"text": "bad", "labels": []}"#
    try command.write("data.jsonl", "\(first)\n\(row)\n")
    try command.write("chain.yaml", chain(task, data: "data.jsonl"))
    let refused = try command.run("run", "chain.yaml")
    #expect(refused.code == 3 && refused.errors.contains(said), "\(refused.said)")
    #expect(refused.errors.contains("data.jsonl:2"), "\(refused.said)")
    #expect(!command.exists("first/model.safetensors"))
  }

  @Test func `spans outside the text or overlapping are refused with their line`() throws {
    let command = try command()
    let good = #"{"text": "Bob left", "entities": [{"start": 0, "end": 3, "label": "PER"}]}"#
    for (entities, said) in [
      (#"[{"start": 4, "end": 12, "label": "PER"}]"#, "outside the text, which has 8 characters"),
      (#"[{"start": 0, "end": 5, "label": "PER"}, {"start": 4, "end": 8, "label": "LOC"}]"#, "overlap"),
      (#"[{"start": 3, "end": 3, "label": "PER"}]"#, "has no characters"),
      (#"[{"begin": 3, "end": 4, "label": "PER"}]"#, "has no start, end and label"),
    ] {
      try command.write("data.jsonl", "\(good)\n{\"text\": \"Bob left\", \"entities\": \(entities)}\n")
      try command.write("chain.yaml", chain("token_classification", data: "data.jsonl"))
      let refused = try command.run("run", "chain.yaml")
      #expect(refused.code == 3 && refused.errors.contains(said), "\(refused.said)")
      #expect(refused.errors.contains("data.jsonl:2"), "\(refused.said)")
    }
  }

  @Test func `a word without a tag is refused with its own line`() throws {
    let command = try command()
    try command.write("data.conll", "Bob B-PER\nleft O\n\nAnna B-PER\nleft\n")
    try command.write("chain.yaml", chain("token_classification", data: "data.conll"))
    let refused = try command.run("run", "chain.yaml")
    #expect(refused.code == 3 && refused.errors.contains("data.conll:5"), "\(refused.said)")
  }

  @Test func `task, data, keys, objectives and models that do not fit are refused by name`() throws {
    let command = try command()
    try command.write("data.conll", Self.conll)
    try command.write(
      "class.jsonl",
      String(repeating: "{\"text\": \"good\", \"label\": 1}\n{\"text\": \"bad\", \"label\": 0}\n", count: 4))
    try command.write("chain.yaml", chain("token_classification", data: "data.conll"))
    #expect(try command.run("run", "chain.yaml").code == 0)
    let tagger = "    - {step_id: s, teacher: first, student_base: \(Self.base), output_dir: s}"
    for (text, code, said) in [
      (chain("classification", data: "data.conll"), 2, "a file of words with tags, and the task is classification"),
      (
        chain("classification", data: "class.jsonl", steps: tagger), 3,
        "is a token classifier (BertForTokenClassification)"
      ),
      (chain("{kind: regression, labels: [a, b]}", data: "class.jsonl"), 2, "has no meaning for kind: regression"),
      (chain("{kind: multi_label, threshold: 1}", data: "class.jsonl"), 2, "above 0 and below 1"),
      (chain("{kind: token_classification, subwords: last}", data: "data.conll"), 2, "subwords"),
      (
        chain("regression", data: "class.jsonl", values: ", objectives: [cross_entropy]"), 2,
        "not defined for the outputs of regression"
      ),
      (
        chain("{kind: multi_label}", data: "class.jsonl", values: ", objectives: [binary_cross_entropy, forward_kl]"),
        2, "not defined"
      ),
      (
        chain("regression", data: "class.jsonl", values: ", temperature: 3"), 2,
        "has no meaning for score_mse and logits_mse"
      ),
      (
        chain("regression", data: "class.jsonl", values: ", metric: accuracy"), 2,
        "it has: spearman, pearson, mse, loss"
      ),
    ] as [(String, Int, String)] {
      try command.write("wrong.yaml", text)
      let refused = try command.run("run", "wrong.yaml")
      #expect(
        refused.code == code && refused.errors.lowercased().contains(said.lowercased()), "\(said): \(refused.said)")
    }
    // As initial weights the tagger gets a new head, and that is said.
    let student = "    - {step_id: s, teacher: null, student_base: first, output_dir: s}"
    try command.write("new.yaml", chain("{kind: classification, labels: [a, b]}", data: "class.jsonl", steps: student))
    let made = try command.run("run", "new.yaml")
    #expect(made.code == 0 && made.said.contains("gets a new head"), "\(made.said)")
  }
}
