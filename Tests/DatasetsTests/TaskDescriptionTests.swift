import Datasets
import Platform
import Testing

@Suite struct TaskDescriptionTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func columns(_ task: String, _ header: String, _ row: String = "") throws -> DatasetColumns {
    let path = try scratch.write("train.tsv", header + "\n" + row + "\n")
    let description = try TaskDescription(named: task, kind: .classification)
    return try description.columns(in: try description.open(path))
  }

  @Test func `well-known tasks find their columns in files of the hub and of the benchmark`() throws {
    #expect(try columns("sst2", "sentence\tlabel") == DatasetColumns(text: "sentence", label: "label"))
    #expect(try columns("SST-2", "text\tlabel") == DatasetColumns(text: "text", label: "label"))
    #expect(
      try columns("mrpc", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String")
        == DatasetColumns(text: "#1 String", textPair: "#2 String", label: "Quality"))
    #expect(
      try columns("qqp", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate")
        == DatasetColumns(text: "question1", textPair: "question2", label: "is_duplicate"))
    #expect(
      try columns("mnli", "premise\thypothesis\tlabel\tidx")
        == DatasetColumns(text: "premise", textPair: "hypothesis", label: "label"))
    #expect(try TaskDescription(named: "mnli").labelNames == ["entailment", "neutral", "contradiction"])
    #expect(try TaskDescription(named: "sst2").labelNames == ["negative", "positive"])
  }

  @Test func `CoLA is read without a header, and with one`() throws {
    let found = try columns("cola", "gj04\t1\t\tOur friends won't buy this.", "gj04\t0\t*\tThey drank the pub.")
    #expect(found == DatasetColumns(text: "sentence", label: "label"))
    let file = try TaskDescription(named: "cola").open(joinPath(scratch.path, "train.tsv"))
    #expect(file.count == 2 && file.line(of: 0) == 1)
    #expect(try columns("cola", "sentence\tlabel\tidx") == DatasetColumns(text: "sentence", label: "label"))
  }

  @Test func `an unknown task reads text or sentence, and the label where there is one`() throws {
    #expect(try columns("reviews", "text\tlabel") == DatasetColumns(text: "text", label: "label"))
    #expect(try columns("reviews", "id\tsentence") == DatasetColumns(text: "sentence"))
    let error = refusal { _ = try columns("reviews", "title\tbody\tstars") }
    #expect(error?.kind == .input)
    #expect(error?.what.contains("found: \"title\", \"body\", \"stars\"") == true)
  }

  @Test func `a pair task does not read single sentences`() throws {
    #expect(refusal { _ = try columns("rte", "sentence\tlabel") }?.kind == .input)
  }

  @Test func `ids are read where there is no text`() throws {
    let path = try scratch.write("a.jsonl", "{\"ids\": [1, 2], \"label\": 0}\n")
    let task = try TaskDescription(named: "sst2")
    #expect(try task.columns(in: task.open(path)) == DatasetColumns(label: "label", ids: "ids"))
  }

  @Test func `the first text of a pair is found by its usual name`() throws {
    let path = try scratch.write("a.tsv", "text\tother\tlabel\na\tb\t0\n")
    func read(_ pair: TextColumns) throws -> DatasetColumns {
      let task = TaskDescription(kind: .classification, columns: DatasetColumns(textPair: pair))
      return try task.columns(in: task.open(path))
    }
    #expect(try read("other") == DatasetColumns(text: "text", textPair: "other", label: "label"))
    let error = refusal { _ = try read("othr") }
    #expect(error?.what == "there is no column \"othr\"; found: \"text\", \"other\", \"label\"")
    #expect(error?.remedy?.hasPrefix("did you mean \"other\"?") == true)
    #expect(refusal { _ = try read("text") }?.what.contains("is the second text of a pair") == true)
    let premise = try scratch.write("b.tsv", "hypothesis\ttext\tpremise\tlabel\na\tb\tc\t0\n")
    let task = TaskDescription(kind: .classification, columns: DatasetColumns(textPair: "hypothesis"))
    #expect(try task.columns(in: task.open(premise)).text == "premise")
  }

  @Test func `a name that nobody knows needs a kind`() throws {
    let error = refusal { _ = try TaskDescription(named: "sts2") }
    #expect(error?.kind == .configuration)
    #expect(error?.remedy?.hasPrefix("did you mean \"sst2\"?") == true)
    #expect(refusal { _ = try TaskDescription(named: "reviews") }?.remedy?.contains("cola, emotion") == true)
    #expect(try TaskDescription(named: "reviews", kind: .classification).labelNames == nil)
    #expect(try TaskDescription(named: "language_modeling").kind == .languageModeling)
  }

  @Test func `AG News is read without a header, title and description joined`() throws {
    let path = try scratch.write("train.csv", "3,Wall St.,\"Short-sellers, again\"\n1,Peace,Talks\n")
    let task = try TaskDescription(named: "ag_news")
    let file = try task.open(path)
    #expect(file.count == 2)
    #expect(try task.columns(in: file) == DatasetColumns(text: ["title", "description"], label: "label"))
  }

  @Test func `columns that the user names make a header`() throws {
    let path = try scratch.write("a.csv", "1,good\n0,bad\n")
    var task = TaskDescription(kind: .classification)
    task.headers = ["label", "text"]
    #expect(try task.open(path).count == 2)
    task.headers = ["text"]
    #expect(refusal { _ = try task.open(path) }?.location == "\(path):1")
    try scratch.write("a.csv", "label,text\n1,good\n")
    task.headers = ["label", "text"]
    #expect(try task.open(path).count == 1)
  }

  @Test func `a record reads as training did, and falls back on usual names in words`() throws {
    let path = try scratch.write("a.tsv", "body\ttext\tlabel\na\tb\t0\n")
    let task = TaskDescription(kind: .classification)
    let record = TaskRecord(
      task, columns: DatasetColumns(text: "body", label: "label"), reading: .index, metric: "f1", maxLength: 32)
    #expect(TaskRecord(record.json) == record)
    let read = try record.task(DatasetColumns(), for: DatasetSplit(path), settings: .options)
    #expect(read.task.columns == DatasetColumns(text: "body", label: "label") && read.notes.isEmpty)
    let other = try scratch.write("b.tsv", "text\tlabel\nb\t0\n")
    let fallen = try record.task(DatasetColumns(), for: DatasetSplit(other), settings: .options)
    #expect(fallen.notes.count == 1)
    let given = try record.task(DatasetColumns(text: "text"), for: DatasetSplit(path), settings: .options)
    #expect(given.task.columns.text == "text")
  }

  @Test func `a model of pairs reads no single texts`() throws {
    let record = TaskRecord(
      TaskDescription(kind: .classification), columns: DatasetColumns(text: "a", textPair: "b", label: "label"),
      reading: .name, metric: nil, maxLength: nil)
    let single = try scratch.write("a.tsv", "a\tlabel\nx\t0\n")
    let error = refusal {
      _ = try record.task(DatasetColumns(text: "a"), for: DatasetSplit(single), settings: .options)
    }
    #expect(error?.what.contains("was trained on pairs") == true)
    #expect(refusal { _ = try record.task(DatasetColumns(), for: DatasetSplit(single), settings: .options) } != nil)
    let both = try scratch.write("b.tsv", "a\tb\nx\ty\n")
    let read = try record.task(DatasetColumns(text: "a"), for: DatasetSplit(both), settings: .options).task
    #expect(read.columns.textPair == "b")
  }

  @Test func `named columns win`() throws {
    let path = try scratch.write("a.tsv", "text\tbody\tlabel\tstars\n\t\t\t\n")
    let named = DatasetColumns(text: "body", label: "stars")
    let task = TaskDescription(kind: .classification, columns: named)
    #expect(try task.columns(in: task.open(path)) == named)
  }

  @Test func `known tasks have kinds, and files without a header the columns of the task`() throws {
    #expect(try TaskDescription(named: "sts-b").kind == .regression)
    let task = try TaskDescription(named: "GoEmotions")
    #expect(task.kind == .multiLabel && task.labelNames?.count == 28)
    // Some rows of the published files have their sources behind the texts.
    let row = "main\tnews\t2012\t7\t2.5\ta b\tc d"
    let path = try scratch.write("s.tsv", "\(row)\n\(row)\tsource\tlicence\n")
    let scores = try TaskDescription(named: "stsb")
    let file = try scores.open(path)
    let columns = try scores.columns(in: file)
    #expect(file.count == 2 && columns.text == "sentence1" && columns.textPair == "sentence2")
    #expect(columns.label == "score")
    #expect(try file.read(1, file.select(["score", "sentence2"])) == [.text("2.5"), .text("c d")])
  }
}

@Suite struct DatasetFilesTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func found(_ task: String?) throws -> [String?] {
    let files = try DatasetFiles.find(inDirectory: scratch.path, task: task)
    return [files.train, files.validation].map {
      $0.map { $0.paths.map { String($0.dropFirst(scratch.path.count + 1)) }.joined(separator: " ") }
    }
  }

  @Test func `the folder of the task comes before the directory itself`() throws {
    try scratch.write("train.tsv", "")
    #expect(try found("sst2") == ["train.tsv", nil])
    try scratch.write("SST-2/train.tsv", "")
    try scratch.write("SST-2/dev.jsonl", "")
    #expect(try found("sst2") == ["SST-2/train.tsv", "SST-2/dev.jsonl"])
    #expect(try found(nil) == ["train.tsv", nil])
  }

  @Test func `validation comes before dev, and tables before plain text`() throws {
    for name in ["data/train.txt", "data/train.csv", "data/dev.tsv", "data/validation.json"] {
      try scratch.write(name, "")
    }
    #expect(try found("x") == ["data/train.csv", "data/validation.json"])
  }

  @Test func `val and valid are validation, test is a split of its own`() throws {
    for name in ["train.json", "val.jsonl", "test.csv"] { try scratch.write(name, "") }
    #expect(try found(nil) == ["train.json", "val.jsonl"])
    try scratch.write("valid.jsonl.gz", "")
    #expect(try found(nil) == ["train.json", "valid.jsonl.gz"])
    #expect(try DatasetFiles.find(inDirectory: scratch.path).test?.name.hasSuffix("test.csv") == true)
  }

  @Test func `shards are one split, in the order of their numbers`() throws {
    for name in ["train-10.tsv", "train-2.tsv", "dev-00001-of-00002.jsonl.gz", "dev-00000-of-00002.jsonl.gz"] {
      try scratch.write(name, "")
    }
    #expect(
      try found(nil) == ["train-2.tsv train-10.tsv", "dev-00000-of-00002.jsonl.gz dev-00001-of-00002.jsonl.gz"])
    try scratch.write("dev-00000-of-00003.jsonl", "")
    #expect(refusal { _ = try found(nil) }?.what.contains("are not whole") == true)
  }

  @Test func `two tables of one split are refused`() throws {
    for name in ["train.csv", "train.tsv"] { try scratch.write(name, "") }
    #expect(refusal { _ = try found(nil) }?.what.contains("\"train.csv\", \"train.tsv\"") == true)
  }

  @Test func `parquet alone is refused with the way to convert it`() throws {
    try scratch.write("sst2/train-00000-of-00001.parquet", "PAR1")
    let error = refusal { _ = try found("sst2") }
    #expect(error?.kind == .input && error?.remedy?.contains("read_parquet") == true)
    try scratch.write("sst2/train.jsonl", "")
    #expect(try found("sst2") == ["sst2/train.jsonl", nil])
  }

  @Test func `a directory without splits is refused with what it holds`() throws {
    try scratch.write("readme.md", "")
    #expect(refusal { _ = try found("sst2") }?.what.contains("found: \"readme.md\"") == true)
  }
}
