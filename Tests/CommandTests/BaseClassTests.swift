import Foundation
import Platform
import Testing

/// The classes of a chain whose student starts from a model that has classes.
@Suite struct BaseClassTests {
  /// A plan of a chain whose student starts from `base`.
  private func plan(
    _ task: String, _ rows: [String], base: Command.MadeHead, initial: String = "", command made: Command? = nil
  ) throws -> Command.Result {
    let command = try made ?? Command()
    try command.makeEmbedder("base", layers: 1, hidden: 8, head: base)
    try command.write("data.jsonl", rows.map { $0 + "\n" }.joined())
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata: {dataset: {train: data.jsonl, validation: data.jsonl}, task: \(task), max_length: 16}
        parallel: {threads_per_rank: 1}
        defaults: {batch_size: 2, max_steps: 1, precision: fp32}
        steps:
          - {step_id: s, teacher: null, student_base: base, output_dir: out\(initial)}

      """)
    return try command.run("run", "chain.yaml", "--dry-run")
  }

  private static let tags = "O, B-PER, I-PER, B-LOC, I-LOC"

  /// Rows whose targets are some of the base's classes.
  static let fitting: [(task: String, rows: [String], base: Command.MadeHead, classes: String)] = [
    ("token_classification", [#"{"tokens": ["w1", "w2"], "tags": [1, 0]}"#], .tagger, tags),
    ("token_classification", [#"{"tokens": ["w1", "w2"], "tags": [1, -100]}"#], .tagger, tags),
    ("token_classification", [#"{"tokens": ["w1", "w2"], "tags": ["B-PER", "O"]}"#], .tagger, tags),
    ("token_classification", [#"{"text": "w1 w2", "entities": []}"#], .tagger, tags),
    (
      "token_classification",
      [#"{"text": "w1 w2", "entities": []}"#, #"{"text": "w1", "entities": [{"start": 0, "end": 2, "label": "LOC"}]}"#],
      .tagger, tags
    ),
    ("multi_label", [#"{"text": "w1", "labels": [0]}"#, #"{"text": "w2", "labels": [1]}"#], .emotions, "joy, anger, fear"),
    ("multi_label", [#"{"text": "w1", "labels": []}"#], .emotions, "joy, anger, fear"),
    ("multi_label", [#"{"text": "w1", "labels": ["fear"]}"#], .emotions, "joy, anger, fear"),
    (
      "classification", [#"{"text": "w1", "label": 0}"#, #"{"text": "w2", "label": 2}"#],
      Command.MadeHead(
        ending: "ForSequenceClassification", outputs: 4, members: #""id2label": {"0": "a", "1": "b", "2": "c", "3": "d"}"#),
      "a, b, c, d"
    ),
    (
      "classification", [#"{"text": "w1", "label": 0}"#, #"{"text": "w2", "label": 1}"#],
      Command.MadeHead(ending: "ForSequenceClassification", outputs: 3), "LABEL_0, LABEL_1, LABEL_2"
    ),
  ]

  @Test(arguments: fitting)
  func `targets that are classes of the base keep its head, whether numbers, names or empty lists`(
    task: String, rows: [String], base: Command.MadeHead, classes: String
  ) throws {
    let planned = try plan(task, rows, base: base)
    #expect(planned.code == 0 && planned.output.contains("classes: \(classes)\n"), "\(planned.said)")
    #expect(!planned.said.contains("gets a new head"), "\(planned.said)")
  }

  @Test func `rows with some of the base's classes are remarked, and a new head has those of the data`() throws {
    let rows = [#"{"tokens": ["w1", "w2"], "tags": [1, 0]}"#]
    let kept = try plan("token_classification", rows, base: .tagger)
    #expect(kept.said.contains("the 5 classes are those of base, and training rows have 2 of them"), "\(kept.said)")
    let new = try plan("token_classification", rows, base: .tagger, initial: ", student_init: {head: new}")
    #expect(new.code == 0 && new.output.contains("classes: LABEL_0, LABEL_1\n"), "\(new.said)")
  }

  @Test func `a base without a class of the data gets a new head`() throws {
    let pair = Command.MadeHead(
      ending: "ForSequenceClassification", outputs: 2, members: #""id2label": {"0": "negative", "1": "positive"}"#)
    let rows = (0..<3).map { "{\"text\": \"w\($0)\", \"label\": \($0)}" }
    let planned = try plan("classification", rows, base: pair)
    #expect(planned.code == 0 && planned.output.contains("classes: LABEL_0, LABEL_1, LABEL_2\n"), "\(planned.said)")
    #expect(planned.said.contains("the checkpoint's has 2 classes, but the task has 3"), "\(planned.said)")
    let named = try plan(
      "classification", [#"{"text": "w1", "label": "ham"}"#, #"{"text": "w2", "label": "spam"}"#], base: pair)
    #expect(named.said.contains("calls its classes negative, positive, the data ham, spam"), "\(named.said)")
  }

  @Test func `empty lists alone are refused if no model has classes`() throws {
    let planned = try plan(
      "multi_label", [#"{"text": "w1", "labels": []}"#], base: .emotions, initial: ", student_init: {head: new}")
    #expect(planned.code == 3 && planned.errors.contains("no row names a label"), "\(planned.said)")
  }

  @Test func `a step without targets names its own objective, and scores have no classes in a plan`() throws {
    let scored = try plan("regression", [#"{"text": "w1", "score": 1}"#], base: .scorer)
    #expect(scored.code == 0 && !scored.output.contains("classes"), "\(scored.said)")
    let bare = try plan("regression", [#"{"text": "w1"}"#], base: .scorer)
    #expect(bare.code == 3 && bare.errors.contains("score_mse needs a score"), "\(bare.said)")
    let unlabelled = try plan("{kind: multi_label, labels: [a, b]}", [#"{"text": "w1"}"#], base: .emotions)
    #expect(unlabelled.code == 3 && unlabelled.errors.contains("binary_cross_entropy needs a label"), "\(unlabelled.said)")
  }

  @Test func `two texts that the task does not name are refused with both names`() throws {
    let rows = [#"{"sentence1": "w1", "sentence2": "w2", "score": 1}"#]
    let refused = try plan("regression", rows, base: .scorer)
    #expect(
      refused.code == 3 && refused.errors.contains("{kind: regression, text: sentence1, text_pair: sentence2}"),
      "\(refused.said)")
    let named = try plan("{kind: regression, text: sentence1, text_pair: sentence2}", rows, base: .scorer)
    #expect(named.code == 0, "\(named.said)")
  }

  @Test func `a damaged retort_task is refused with file and key`() throws {
    let command = try Command()
    try command.write("in.jsonl", "{\"text\": \"w1\", \"labels\": [\"joy\"]}\n")
    for (value, key) in [
      (#""threshold": 7"#, "threshold"), (#""threshold": "x""#, "threshold"), (#""stride": -5"#, "stride"),
      (#""max_length": -1"#, "max_length"), (#""subwords": "last""#, "subwords"),
    ] {
      var head = Command.MadeHead.emotions
      head.members += ", \"retort_task\": {\"kind\": \"multi_label\", \(value)}"
      try command.makeEmbedder("model", layers: 1, hidden: 8, head: head)
      let runs = [
        try command.run("predict", "model", "--input", "in.jsonl", "--output", "-"),
        try command.run("evaluate", "model", "--data", "in.jsonl"),
      ]
      for refused in runs {
        #expect(refused.code == 3 && refused.errors.contains("retort_task.\(key) is "), "\(refused.said)")
        #expect(refused.errors.contains("model/config.json") && refused.output.isEmpty, "\(refused.said)")
      }
    }
  }

  @Test func `a perceptron without input_size is told to have one`() throws {
    let command = try Command()
    try command.write("data.csv", "a,b,label\n1,2,0\n2,1,1\n")
    try command.write(
      "chain.yaml",
      """
      distillation_chain:
        metadata: {dataset: {train: data.csv, validation: data.csv}, task: features}
        steps:
          - {step_id: s, teacher: null, student_base: {family: perceptron, hidden_sizes: [4]}, output_dir: out}

      """)
    let refused = try command.run("run", "chain.yaml", "--dry-run")
    #expect(refused.code == 2 && refused.errors.contains("the number of numeric columns"), "\(refused.said)")
  }
}
