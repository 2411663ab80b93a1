import Collectives
import Foundation
import Platform
import TestSupport
import Testing

@testable import Datasets

/// Rows of taggers, scorers and classifiers of several labels.
@Suite struct TaskRowTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func open(
    _ path: String, _ kind: TaskKind, labels: [String]? = nil, maxLength: Int? = nil, subwords: SubwordUse = .first,
    use: LabelUse = .expected
  ) throws -> TokenizedDataset {
    var task = TaskDescription(kind: kind)
    (task.subwords, task.labelUse) = (subwords, use)
    return try TokenizedDataset.open(
      DatasetSplit(path), task: task, labels: labels.map { LabelSet(names: $0) }, tokenizer: CountingTokenizer(),
      options: .init(maxLength: maxLength, cacheDirectory: joinPath(scratch.path, "cache")), on: SoloCommunicator())
  }

  private let tags = ["O", "B-X", "I-X"]

  @Test func `sentences of words with tags are read from tabs or spaces, the last column is the tag`() throws {
    let path = try scratch.write(
      "a.conll", "-DOCSTART- O\n\nab NN B-X\nc VB O\n\n\nd\tB-X\n \ne I-X\r\nf O\r\n")
    let file = try TaskDescription(kind: .tokenClassification).open(path)
    #expect(file.count == 3 && (0..<3).map(file.line) == [3, 7, 9])
    #expect(file.location(of: 2, word: 1).hasSuffix(":10"))
    let data = try open(path, .tokenClassification, labels: tags)
    let batch = data.batch([0, 1, 2])
    // [1] a b c [2] | [1] d [2] | [1] e f [2]
    #expect(batch.targets == [-1, 1, -1, 0, -1, -1, 1, -1, -1, 2, 0, -1])
    #expect(batch.countedTokens == [1, 3, 6, 9, 10] && batch.rowLabels == [1, 0, 1, 2, 0])
    #expect((0..<3).map(data.lossRows) == [2, 1, 2] && (0..<3).map(data.labelledRows) == [2, 1, 2])
    #expect(data.labelledCount == 3 && data.count == 3)
    let all = try open(path, .tokenClassification, labels: tags, subwords: .all)
    #expect(all.batch([0]).targets == [-1, 1, 1, 0, -1] && all.digest != data.digest)
    // The file is read again from the cache.
    #expect(try open(path, .tokenClassification, labels: tags).batch([0, 1, 2]) == batch)
  }

  @Test func `words, ids and texts with entities have the same kinds of targets`() throws {
    let words = try scratch.write(
      "w.jsonl",
      """
      {"tokens": ["ab", "c"], "tags": ["B-X", "O"]}
      {"tokens": ["ab"], "tags": null}
      """)
    let data = try open(words, .tokenClassification, labels: tags)
    #expect(data.batch([0]).targets == [-1, 1, -1, 0, -1])
    #expect(data.batch([1]).targets == [-1, -2, -1, -1])
    #expect(data.labelledRows(1) == 0 && data.lossRows(1) == 1 && data.labelledCount == 1)
    let ids = try scratch.write("i.jsonl", "{\"ids\": [5, 6, 7], \"tags\": [0, -100, 1]}\n")
    #expect(try open(ids, .tokenClassification, labels: tags).batch([0]).targets == [0, -1, 1])
    let text = try scratch.write(
      "t.jsonl",
      """
      {"text": "ab c-d", "entities": [{"start": 0, "end": 2, "label": "X"}, {"start": 3, "end": 6, "label": "X"}]}
      {"text": "é, f", "entities": []}
      """)
    let spans = try open(text, .tokenClassification, labels: tags)
    // [1] a b ␣ c - d [2]: the words are ab, c, - and d.
    #expect(spans.batch([0]).targets == [-1, 1, -1, -1, 1, 2, 2, -1])
    // é is two bytes, and so two tokens of this tokenizer.
    #expect(spans.batch([1]).targets == [-1, 0, -1, 0, -1, 0, -1])
  }

  @Test func `a text of several columns is one text, and entities count its characters`() throws {
    let path = try scratch.write(
      "t.jsonl",
      "{\"a\": \"ab\", \"b\": \"c\", \"entities\": [{\"start\": 3, \"end\": 4, \"label\": \"X\"}]}\n")
    var task = TaskDescription(kind: .tokenClassification, columns: DatasetColumns(text: ["a", "b"]))
    let data = try TokenizedDataset.open(
      DatasetSplit(path), task: task, labels: LabelSet(names: tags), tokenizer: CountingTokenizer(),
      options: .init(cacheDirectory: nil), on: SoloCommunicator())
    #expect(data.batch([0]).targets == [-1, 0, -1, -1, 1, -1])
    task.labelUse = .unread
    let words = try CountedWords(DatasetSplit(path), task, CountingTokenizer(), maxLength: nil)
    #expect(try words?.read(0).words.map(\.range) == [0..<2, 3..<4])
  }

  @Test func `a cut row keeps the words before the cut, and is counted`() throws {
    let path = try scratch.write(
      "a.jsonl", "{\"tokens\": [\"ab\", \"cd\", \"ef\"], \"tags\": [\"O\", \"B-X\", \"O\"]}\n")
    let data = try open(path, .tokenClassification, labels: tags, maxLength: 4)
    #expect(data.batch([0]).targets == [-1, 0, -1, 1])
    #expect(data.notes.contains { $0.contains("1 of 1 rows were cut to 4 tokens") }, "\(data.notes)")
  }

  @Test func `scores and sets of labels are numbers of a row`() throws {
    let scores = try scratch.write("s.tsv", "text\tscore\na\t1.5\nb\t\nc\t-2\n")
    let data = try open(scores, .regression)
    let values = data.batch([0, 1, 2]).values
    #expect(values[0] == 1.5 && values[1].isNaN && values[2] == -2)
    #expect(data.labelledCount == 2 && data.lossRows(1) == 1 && data.labelledRows(1) == 0)
    let sets = try scratch.write(
      "l.jsonl",
      """
      {"text": "a", "labels": ["x", "z"]}
      {"text": "b", "labels": []}
      {"text": "c"}
      {"text": "d", "labels": "y"}
      """)
    let labels = try open(sets, .multiLabel, labels: ["x", "y", "z"])
    #expect(labels.batch([0, 1, 3]).values == [1, 0, 1, 0, 0, 0, 0, 1, 0])
    #expect(labels.batch([2]).values.allSatisfy(\.isNaN) && labels.labelledCount == 3)
    let table = try scratch.write("l.tsv", "text\tlabels\na\tz, x\nb\t\n")
    #expect(try open(table, .multiLabel, labels: ["x", "y", "z"]).batch([0, 1]).values == [1, 0, 1, 0, 0, 0])
  }

  @Test func `tags are put in the usual order, and spans bring the tags of further words`() throws {
    let path = try scratch.write("a.conll", "a I-Y\nb B-Y\nc O\nd B-X\n")
    let task = TaskDescription(kind: .tokenClassification)
    let scan = try task.labels(in: task.open(path), on: SoloCommunicator())
    #expect(try scan.labelSet().set.names == ["O", "B-X", "B-Y", "I-Y"])
    let text = try scratch.write(
      "t.jsonl", "{\"text\": \"a\", \"entities\": [{\"start\": 0, \"end\": 1, \"label\": \"X\"}]}\n")
    let spans = try task.labels(in: task.open(text), on: SoloCommunicator())
    #expect(try spans.labelSet().set.names == ["O", "B-X", "I-X"])
  }
}
