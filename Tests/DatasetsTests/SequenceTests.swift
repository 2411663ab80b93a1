import Collectives
import Datasets
import Platform
import Testing

/// Texts that are read apart: one or two sequences make an example.
@Suite struct SequenceTests {
  private func open(
    _ file: String, task: TaskDescription = TaskDescription(kind: .embedding), maxLength: Int? = nil
  ) throws -> TokenizedDataset {
    try TokenizedDataset.open(
      DatasetSplit(file), task: task, tokenizer: CountingTokenizer(),
      options: TokenizedDataset.Options(maxLength: maxLength, cacheDirectory: nil), on: SoloCommunicator())
  }

  @Test func `a pair is two sequences of one example, each tokenised alone, with the score at the first`() throws {
    let scratch = try Scratch()
    let data = try open(try scratch.write("a.tsv", "sentence1\tsentence2\tscore\nab\tc\t2.5\nd\tabc\t\n"))
    #expect(data.count == 2 && data.lengths == [7, 8] && data.labelledCount == 1)
    #expect((0..<2).map(data.lossRows) == [2, 2] && (0..<2).map(data.labelledRows) == [2, 0])
    #expect(data.sequenceLengths([1, 0]) == [3, 5, 4, 3])
    let batch = data.batch([1, 0])
    #expect(batch.offsets == [0, 3, 8, 12, 15] && batch.samples == [1, 3, 0, 2] && batch.rowCount == 4)
    #expect(batch.isSecond == [false, true, false, true] && batch.positions.prefix(5) == [0, 1, 2, 0, 1])
    #expect(batch.values.map(\.isNaN) == [true, true, false, true] && batch.values[2] == 2.5)
    #expect(batch.typeIDs.allSatisfy { $0 == 0 })
  }

  @Test func `a row of one text is one sequence, and an equal text has an equal hash wherever it stands`() throws {
    let scratch = try Scratch()
    let single = try open(try scratch.write("a.jsonl", "{\"text\": \"ab\"}\n{\"text\": \"c\"}\n"))
    let pair = try open(try scratch.write("b.jsonl", "{\"text\": \"c\", \"text_pair\": \"ab\"}\n"))
    #expect(single.labelledCount == 0 && single.sequenceLengths([0, 1]) == [4, 3])
    #expect(single.batch([0, 1]).samples == [0, 1] && single.batch([0, 1]).isSecond == [false, false])
    #expect(pair.batch([0]).contentHashes == single.batch([1, 0]).contentHashes)
  }

  @Test func `each sequence is cut by itself, and the rows that are cut are counted`() throws {
    let scratch = try Scratch()
    let file = try scratch.write("a.tsv", "text\ttext_pair\nabcdef\tc\nab\tcd\n")
    let data = try open(file, maxLength: 4)
    #expect(data.sequenceLengths([0, 1]) == [4, 3, 4, 4])
    #expect(data.notes.contains { $0.contains("1 of 2 rows were cut to 4 tokens") })
  }

  @Test func `the files of a known task without a header are read as pairs, and other sentences as single texts`() throws {
    let scratch = try Scratch()
    let task = try TaskDescription(named: "stsb", kind: .embedding)
    let pairs = try open(
      try scratch.write("dev.tsv", "main-news\tMSRpar\t2012\t0001\t2.5\tab\tc\textra\tfield\n"), task: task)
    #expect(pairs.count == 1 && pairs.labelledCount == 1 && pairs.sequenceLengths([0]) == [4, 3])
    let single = try open(try scratch.write("a.jsonl", "{\"text\": \"ab\"}\n"), task: task)
    #expect(single.labelledCount == 0 && single.sequenceLengths([0]) == [4])
  }

  @Test func `a known task that is read as another kind has neither its kind nor its classes`() throws {
    let task = try TaskDescription(named: "sst2", kind: .embedding)
    #expect(task.kind == .embedding && task.labelNames == nil && task.labelUse == .ifPresent)
    #expect(try TaskDescription(named: "sst2").labelNames == ["negative", "positive"])
  }

  @Test func `a score that is no number is refused with its line`() throws {
    let scratch = try Scratch()
    let file = try scratch.write("a.tsv", "sentence1\tsentence2\tscore\na\tb\t1\na\tb\thigh\n")
    let refusal = #expect(throws: RetortError.self) { _ = try open(file) }
    #expect(refusal?.kind == .input && refusal?.location?.hasSuffix("a.tsv:3") == true)
    #expect(refusal?.what.contains("\"high\"") == true)
  }
}
