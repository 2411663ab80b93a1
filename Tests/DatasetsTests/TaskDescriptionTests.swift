import Datasets
import Platform
import Testing

@Suite struct TaskDescriptionTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func columns(_ task: String, _ header: String, _ row: String = "") throws -> DatasetColumns {
    let path = try scratch.write("train.tsv", header + "\n" + row + "\n")
    let description = try TaskDescription(named: task)
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

  @Test func `named columns win`() throws {
    let path = try scratch.write("a.tsv", "text\tbody\tlabel\tstars\n\t\t\t\n")
    let named = DatasetColumns(text: "body", label: "stars")
    let task = TaskDescription(kind: .classification, columns: named)
    #expect(try task.columns(in: task.open(path)) == named)
  }

  @Test func `stsb is refused, since its target is a number`() {
    #expect(refusal { _ = try TaskDescription(named: "sts-b") }?.kind == .configuration)
  }
}

@Suite struct DatasetFilesTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func found(_ task: String?) throws -> [String?] {
    let files = try DatasetFiles.find(inDirectory: scratch.path, task: task)
    return [files.train, files.validation].map { $0.map { String($0.dropFirst(scratch.path.count + 1)) } }
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
