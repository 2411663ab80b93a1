import Collectives
import Platform
import Testing

@testable import Datasets

/// Rows of classification data that have no label.
@Suite struct UnlabelledRowTests {
  let scratch: Scratch
  let labels = LabelSet(names: ["no", "yes"])

  init() throws { scratch = try Scratch() }

  private func open(
    _ path: String, _ columns: DatasetColumns = DatasetColumns(), use: LabelUse = .expected, labels: LabelSet?? = nil
  ) throws -> TokenizedDataset {
    var task = TaskDescription(kind: .classification, columns: columns)
    task.labelUse = use
    return try TokenizedDataset.open(
      DatasetSplit(path), task: task, labels: labels ?? self.labels, tokenizer: CountingTokenizer(),
      options: .init(cacheDirectory: joinPath(scratch.path, "cache")), on: SoloCommunicator())
  }

  private func open(_ path: String, of kind: TaskKind) throws -> TokenizedDataset {
    try TokenizedDataset.open(
      DatasetSplit(path), task: TaskDescription(kind: kind), tokenizer: CountingTokenizer(),
      options: .init(cacheDirectory: nil), on: SoloCommunicator())
  }

  private func classes(_ data: TokenizedDataset) -> [Int32] { (0..<data.count).map(data.label) }

  private func scan(_ path: String, _ columns: DatasetColumns = DatasetColumns()) throws -> LabelScan {
    let task = TaskDescription(kind: .classification, columns: columns)
    return try task.labels(in: try task.open(path), on: SoloCommunicator())
  }

  @Test(arguments: [
    ("a.tsv", "text\tlabel\na\tyes\nb\t\nc\t  \nd\tno\n"),
    ("a.csv", "text,label\na,yes\nb,\nc,\"\"\nd,no\n"),
    (
      "a.jsonl",
      "{\"text\": \"a\", \"label\": \"yes\"}\n{\"text\": \"b\"}\n{\"text\": \"c\", \"label\": null}\n"
        + "{\"text\": \"d\", \"label\": \"no\"}\n"
    ),
    (
      "b.jsonl",
      "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": \"\"}\n{\"text\": \"c\"}\n"
        + "{\"text\": \"d\", \"label\": 0}\n"
    ),
  ])
  func `an empty field, null and no field are rows without a label`(name: String, content: String) throws {
    let path = try scratch.write(name, content)
    // The second time from the cache.
    for _ in 0..<2 {
      let data = try open(path)
      #expect(classes(data) == [1, -1, -1, 0])
      #expect(data.labelledCount == 2 && data.labelled == .some(2))
      #expect((0..<4).map(data.labelledRows) == [1, 0, 0, 1] && (0..<4).map(data.lossRows) == [1, 1, 1, 1])
      #expect(data.batch([1, 0]).labels == [-1, 1])
    }
    let found = try scan(path)
    #expect(found.unlabelledCount == 2 && found.rowCount == 4 && found.firstUnlabelledLine == 2 + (name.hasSuffix("l") ? 0 : 1))
    #expect(found.unlabelledText == "2 of 4 rows of \(path) have no label")
  }

  @Test func `a label that is there and wrong is refused beside rows without one`() throws {
    for (label, what) in [("maybe", "\"maybe\""), ("-1", "\"-1\""), ("3", "\"3\"")] {
      let path = try scratch.write("a.tsv", "text\tlabel\na\t\nb\t1\nc\t\(label)\n")
      let error = try #require(refusal { _ = try open(path) })
      #expect(error.location == "\(path):4" && error.what.contains(what))
    }
  }

  @Test func `classes are found in the rows that have one`() throws {
    let path = try scratch.write("a.csv", "text,label\na,spam\nb,\nc,ham\n")
    let data = try open(path, labels: .some(nil))
    #expect(data.labels == LabelSet(names: ["ham", "spam"], reading: .name) && classes(data) == [1, -1, 0])
    // Programs write whole numbers with a fraction where other rows of the column are empty.
    let numbers = try scratch.write("b.csv", "text,label\na,1.0\nb,\nc,0.0\n")
    #expect(classes(try open(numbers, labels: .some(nil))) == [1, -1, 0])
  }

  @Test func `a table must have the column of labels unless they are not read`() throws {
    let path = try scratch.write("a.tsv", "text\nab\n")
    let error = try #require(refusal { _ = try open(path) })
    #expect(error.what.contains("no column \"label\"") && error.remedy?.contains("label: null") == true)
    for use in [LabelUse.ifPresent, .unread] { #expect(classes(try open(path, use: use)) == [-1]) }
    let named = try scratch.write("b.tsv", "text\tlabel\nab\t1\n")
    let wrong = try #require(refusal { _ = try open(named, DatasetColumns(label: "lable")) })
    #expect(wrong.what.contains("no column \"lable\"") && wrong.remedy?.contains("did you mean \"label\"?") == true)
  }

  @Test func `labels that are not read are not looked at, and those of validation are where there are any`() throws {
    let path = try scratch.write("a.tsv", "text\tlabel\nab\twhatever\n")
    #expect(classes(try open(path, use: .unread)) == [-1])
    let validation = try scratch.write("b.tsv", "text\tlabel\nab\tyes\n")
    var task = TaskDescription(kind: .classification)
    #expect(task.ofValidation == task)
    task.labelUse = .unread
    #expect(task.ofValidation.labelUse == .ifPresent)
    #expect(classes(try open(validation, use: .ifPresent)) == [1])
    #expect(refusal { _ = try open(path, use: .ifPresent) }?.location == "\(path):2")
  }

  @Test func `rows of JSON Lines may all be without one, and the first rows may`() throws {
    let none = try scratch.write("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\", \"source\": \"web\"}\n")
    #expect(classes(try open(none)) == [-1, -1])
    #expect(try scan(none).unlabelledText == "none of the 2 rows of \(none) has a label (the rows have \"source\")")
    let late = try scratch.write("b.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\", \"labels\": 1}\n")
    #expect(classes(try open(late)) == [-1, 1])
    let known = try scratch.write(
      "c.jsonl", "{\"review\": \"a\"}\n{\"review\": \"b\", \"sentiment\": \"positive\"}\n")
    let imdb = try TaskDescription(named: "imdb")
    #expect(try imdb.columns(in: try imdb.open(known)).label == "sentiment")
  }

  @Test(arguments: [
    ("label", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"lable\": 0}\n", 2, "lable"),
    ("label", "{\"text\": \"a\", \"Label\": 1}\n{\"text\": \"b\", \"Label\": 0}\n", 1, "Label"),
    ("sentiment", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": 0}\n", 1, "label"),
    ("sentiment", "{\"text\": \"a\", \"sentiment\": 1}\n{\"text\": \"b\", \"sentimet\": 0}\n", 2, "sentimet"),
  ])
  func `a slip in the name of a label is no row without one`(
    column: String, content: String, line: Int, slip: String
  ) throws {
    let path = try scratch.write("a.jsonl", content)
    let error = try #require(refusal { _ = try scan(path, DatasetColumns(label: column)) })
    #expect(error.kind == .input && error.location == "\(path):\(line)")
    #expect(error.what == "the row has no \"\(column)\", and a field \"\(slip)\" that looks like it")
  }

  @Test(arguments: [
    (TaskKind.regression, #"{"text": "a", "score": 1.5}"#, #"{"text": "b", "label": 5}"#, "label"),
    (.regression, #"{"text": "a", "score": 1.5}"#, #"{"text": "b", "scroe": 5}"#, "scroe"),
    (.regression, #"{"text": "a", "scroe": 1.5}"#, #"{"text": "b", "scroe": 5}"#, "scroe"),
    (
      .embedding, #"{"text": "a", "text_pair": "c", "score": 1.5}"#, #"{"text": "b", "text_pair": "c", "scores": 5}"#,
      "scores"
    ),
    (
      .embedding, #"{"text": "a", "text_pair": "c", "score": 1.5}"#, #"{"text": "b", "text_pair": "c", "label": 5}"#,
      "label"
    ),
  ])
  func `a slip in the name of a score is no row without one`(
    kind: TaskKind, first: String, second: String, slip: String
  ) throws {
    let path = try scratch.write("a.jsonl", "\(first)\n\(second)\n")
    let error = try #require(refusal { _ = try open(path, of: kind) })
    #expect(error.kind == .input && error.location == "\(path):\(first.contains(slip) ? 1 : 2)")
    #expect(error.what == "the row has no \"score\", and a field \"\(slip)\" that looks like it")
  }

  @Test func `rows without a score may have other fields, and classes beside texts are none`() throws {
    let scores = try scratch.write("a.jsonl", "{\"text\": \"a\", \"score\": 1}\n{\"text\": \"b\", \"source\": \"web\"}\n")
    #expect(try open(scores, of: .regression).labelled == .some(1))
    let bare = try scratch.write("b.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\", \"source\": \"web\"}\n")
    #expect(try open(bare, of: .regression).labelled == .none)
    let pairs = try scratch.write("c.jsonl", "{\"text\": \"a\", \"text_pair\": \"b\", \"label\": 1}\n")
    #expect(try open(pairs, of: .embedding).labelled == .none)
    let single = try scratch.write("d.jsonl", "{\"text\": \"a\", \"label\": 1}\n")
    #expect(try open(single, of: .embedding).labelled == .none)
  }

  @Test func `fields that rows with a label have too are no slips`() throws {
    let path = try scratch.write(
      "a.jsonl", "{\"text\": \"a\", \"label\": 1, \"labels\": 3}\n{\"text\": \"b\", \"labels\": 4}\n")
    #expect(try scan(path, DatasetColumns(label: "label")).labelled == .some(1))
  }

  @Test func `examples without a class are counted, and documents all count as labelled`() throws {
    let examples = try TokenizedDataset(examples: [
      TokenizedExample(ids: [1, 2], label: 0), TokenizedExample(ids: [3]), TokenizedExample(ids: [4], label: 2),
    ])
    #expect(examples.labelledCount == 2)
    let documents = try PackedDocuments(
      try TokenizedDataset(examples: [TokenizedExample(ids: [1, 2, 3])], kind: .languageModeling), rowLength: 8)
    #expect(documents.labelled == .all && documents.labelledRows(0) == documents.lossRows(0))
  }
}
