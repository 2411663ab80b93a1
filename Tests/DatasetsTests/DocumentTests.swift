import Collectives
import Platform
import Tensors
import Testing

@testable import Datasets

@Suite struct DocumentCutTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  /// The documents of a text and the lines on which they start.
  private func documents(_ text: String, _ cut: DocumentCut) throws -> (texts: [String], lines: [Int]) {
    let file = try RowFile(scratch.write("a.txt", text), documents: cut)
    let selection = try file.select(["text"])
    let texts = try (0..<file.count).map { row -> String in
      guard case .text(let text) = try file.read(row, selection)[0] else { return "no text" }
      return text
    }
    return (texts, (0..<file.count).map(file.line(of:)))
  }

  @Test func `a whole file is one document as it stands`() throws {
    let text = " one\n\ntwo \n"
    #expect(try documents(text, .file) == ([text], [1]))
    #expect(try documents("\n \t\n", .file).texts.isEmpty)
    #expect(try documents("", .file).texts.isEmpty)
  }

  @Test func `paragraphs end at blank lines, with either kind of line break`() throws {
    let found = try documents("\n a\nb\r\n\r\n \nc", .paragraph)
    #expect(found == ([" a\nb", "c"], [2, 6]))
  }

  @Test func `lines are documents, blank ones are none`() throws {
    #expect(try documents("a \r\n\n b\n", .line) == (["a ", " b"], [1, 3]))
  }

  @Test func `separators and the space beside them belong to no document`() throws {
    let text = "<end>one\ntwo\n<end>\n\nthree<end><end> \n four <en\n"
    #expect(try documents(text, .separator("<end>")) == (["one\ntwo", "three", "four <en"], [1, 5, 6]))
  }

  @Test func `automatic is the usual mark where the file has it, else the file`() throws {
    let marked = try documents("a\n<|endoftext|>\nb", .automatic)
    #expect(marked == (["a", "b"], [1, 3]))
    let plain = try documents("a\n\nb\n", .automatic)
    #expect(plain == (["a\n\nb\n"], [1]))
  }

  @Test func `text that is not UTF-8 is refused with the line inside the document`() throws {
    let path = try scratch.write("b.txt", bytes: Array("one\ntwo\n".utf8) + [0xff, 0x0a])
    let file = try RowFile(path, documents: .file)
    let error = refusal { _ = try file.read(0, file.select(["text"])) }
    #expect(error?.location == "\(path):3")
  }
}

@Suite struct DocumentPackingTests {
  private func packing(_ lengths: [Int32], _ rowLength: Int32, prompts: [Int32] = []) -> DocumentPacking {
    DocumentPacking(
      lengths: lengths, prompts: { prompts.indices.contains($0) ? prompts[$0] : -1 }, rowLength: rowLength)
  }

  private func rows(_ packing: DocumentPacking) -> [[DocumentPacking.Piece]] {
    zip(packing.rowStarts, packing.rowStarts.dropFirst()).map { Array(packing.pieces[Int($0)..<Int($1)]) }
  }

  @Test func `pieces go to the fullest row that holds them`() {
    let found = rows(packing([11, 4, 2, 3, 1], 8)).map { $0.map { [$0.document, $0.start, $0.count, $0.predicted] } }
    #expect(found == [[[0, 0, 8, 8]], [[0, 8, 3, 2], [1, 0, 4, 3]], [[2, 0, 2, 1], [3, 0, 3, 2]]])
    #expect(packing([11, 4, 2, 3, 1], 8).emptyDocuments == 1)
  }

  @Test func `where nothing is joined, each piece has a row of its own`() {
    let apart = DocumentPacking(lengths: [11, 4, 2], prompts: { _ in -1 }, rowLength: 8, joins: false)
    #expect(apart.rowStarts == [0, 1, 2, 3, 4] && apart.pieces.map(\.count) == [8, 3, 4, 2])
  }

  @Test func `a last token alone and what lies inside a prompt are no pieces`() {
    #expect(packing([9], 4).pieces.map(\.start) == [0, 4])
    #expect(packing([9], 4).pieces.map(\.predicted) == [4, 4])
    let prompted = packing([12], 4, prompts: [6])
    #expect(prompted.pieces.map(\.start) == [4, 8] && prompted.pieces.map(\.predicted) == [3, 3])
    #expect(packing([5], 4, prompts: [5]).pieces.isEmpty)
  }

  @Test(arguments: [1, 2, 7, 64, 200, 5000])
  func `every token but the first of a document is predicted once, and few are wasted`(_ rowLength: Int32) {
    var random = RandomStream(seed: 3, purpose: "packing")
    let lengths = (0..<3000).map { _ in Int32(random.below(300) + 1) }
    let packing = packing(lengths, rowLength)
    let rows = rows(packing)
    #expect(packing.pieces.reduce(0) { $0 + Int($1.predicted) } == lengths.reduce(0) { $0 + Int($1) - 1 })
    let loads = rows.map { $0.reduce(0) { $0 + Int($1.count) } }
    #expect(loads.allSatisfy { $0 > 0 && $0 <= Int(rowLength) })
    for row in rows {
      #expect(zip(row, row.dropFirst()).allSatisfy { ($0.document, $0.start) < ($1.document, $1.start) })
    }
    let firsts = rows.map { ($0[0].document, $0[0].start) }
    #expect(zip(firsts, firsts.dropFirst()).allSatisfy { $0 < $1 })
    let fewest = (loads.reduce(0, +) + Int(rowLength) - 1) / Int(rowLength)
    #expect(Double(rows.count) <= 11.0 / 9 * Double(fewest) + 1)
    if rowLength > 2, rowLength < 300 { #expect(Double(rows.count) < 1.01 * Double(fewest) + 1) }
  }

  @Test func `a row that a piece fills up goes before one with more room`() {
    let found = rows(packing([6, 6, 4, 4, 4], 10)).map { $0.map(\.count) }
    #expect(found == [[6, 4], [6, 4], [4]])
  }
}

@Suite struct PackedDocumentTests {
  let scratch: Scratch
  let task = TaskDescription(kind: .languageModeling)

  init() throws { scratch = try Scratch() }

  private func open(
    _ path: String, task: TaskDescription? = nil, rowLength: Int? = 8, endOfText: Int32? = 2,
    tokenizer: CountingTokenizer? = CountingTokenizer()
  ) throws -> PackedDocuments {
    try PackedDocuments.open(
      DatasetSplit(path), task: task ?? self.task, tokenizer: tokenizer, endOfText: endOfText,
      options: .init(maxLength: rowLength, cacheDirectory: joinPath(scratch.path, "cache")), on: SoloCommunicator())
  }

  @Test func `a batch has a sequence a piece, with targets up to the end of its document`() throws {
    let lines = ["{\"ids\": [10, 11, 12, 13, 14, 15]}", "{\"ids\": [20, 21]}", "{\"ids\": [30]}", ""]
    let path = try scratch.write("a.jsonl", lines.joined(separator: "\n"))
    let data = try open(path, rowLength: 4, tokenizer: nil)
    #expect(data.count == 2 && data.lengths == [4, 4] && data.notes.count == 1)
    #expect(data.documentCount == 2 && data.totalTokens == 8 && data.predictedTokens == 6)
    let batch = data.batch([1, 0])
    #expect(batch.tokens == [14, 15, 20, 21, 10, 11, 12, 13])
    #expect(batch.targets == [15, -1, 21, -1, 11, 12, 13, 14])
    #expect(batch.offsets == [0, 2, 4, 8] && batch.positions == [0, 1, 0, 1, 0, 1, 2, 3])
    #expect(batch.count == 3 && Set(batch.samples).count == 3 && Set(batch.contentHashes).count == 3)
    #expect(batch.countedTokens == [0, 2, 4, 5, 6, 7])
    #expect(data.lossRows(0) == 4 && data.lossRows(1) == 2 && data.sequenceLengths([1, 0]) == [2, 2, 4])
  }

  @Test func `the same tokens are predicted whatever the length of the rows`() throws {
    let path = try scratch.write("a.txt", "abcdefghij\n\nkl\n\nmnopqrstuvwxyz0123456789")
    var task = task
    task.documents = .paragraph
    var seen: Set<[Int32]> = []
    for rowLength in [1, 2, 5, 16, nil] as [Int?] {
      let data = try open(path, task: task, rowLength: rowLength)
      let batch = data.batch(Array(0..<data.count))
      #expect(batch.targets.count == batch.tokenCount)
      seen.insert(batch.targets.filter { $0 >= 0 }.sorted())
    }
    #expect(seen.count == 1 && seen.first?.count == 10 + 2 + 24 + 3)
  }

  @Test func `the end is put behind a text that does not end in it, never behind ids`() throws {
    let text = try open(scratch.write("a.jsonl", "{\"text\": \"ab\"}\n{\"text\": \"\"}\n"), endOfText: 7)
    #expect(text.batch([0]).tokens == [1, 100, 101, 2, 7] && text.count == 1)
    let ended = try open(scratch.write("b.jsonl", "{\"text\": \"ab\"}\n"), endOfText: 2)
    #expect(ended.batch([0]).tokens == [1, 100, 101, 2])
    let without = try open(scratch.write("c.jsonl", "{\"text\": \"ab\"}\n"), endOfText: nil)
    #expect(without.batch([0]).tokens == [1, 100, 101, 2])
    let ids = try open(scratch.write("d.jsonl", "{\"ids\": [1, 5, 6]}\n"), endOfText: 7)
    #expect(ids.batch([0]).tokens == [1, 5, 6])
  }

  @Test func `tokens of a prompt are read and not predicted`() throws {
    // The tokenizer closes the prompt with 2, which the whole does not have there.
    let path = try scratch.write("a.jsonl", "{\"prompt\": \"ab\", \"text\": \"cd\"}\n{\"text\": \"cd\"}\n")
    let batch = try open(path, rowLength: 16).batch([0])
    #expect(batch.tokens == [1, 100, 101, 102, 103, 2] + [1, 102, 103, 2])
    #expect(batch.targets == [-1, -1, 102, 103, 2, -1] + [102, 103, 2, -1])
    let ids = try scratch.write("b.jsonl", "{\"before\": [4, 5], \"ids\": [6, 7]}\n")
    let named = TaskDescription(kind: .languageModeling, columns: DatasetColumns(prompt: "before"))
    let other = try open(ids, task: named).batch([0])
    #expect(other.tokens == [4, 5, 6, 7] && other.targets == [-1, 6, 7, -1])
  }

  @Test func `tokens are kept once for all lengths of rows, and by what decides them`() throws {
    let path = try scratch.write("a.txt", "one two\n\nthree")
    let tokenizer = CountingTokenizer()
    let first = try open(path, rowLength: 8, tokenizer: tokenizer)
    let second = try open(path, rowLength: 5, tokenizer: tokenizer)
    #expect(tokenizer.callCount == 1 && first.digest != second.digest)
    var paragraphs = task
    paragraphs.documents = .paragraph
    #expect(try open(path, task: paragraphs, rowLength: 8, tokenizer: tokenizer).digest != first.digest)
    #expect(try open(path, endOfText: 9, tokenizer: tokenizer).digest != first.digest)
    #expect(tokenizer.callCount == 4)
  }

  @Test func `data without anything to predict is refused`() throws {
    let path = try scratch.write("a.jsonl", "{\"ids\": [3]}\n")
    #expect(refusal { _ = try open(path, tokenizer: nil) }?.kind == .input)
    let blank = try scratch.write("b.txt", " \n")
    #expect(refusal { _ = try open(blank) }?.kind == .input)
  }

  @Test func `a cut for plain text is refused where rows are documents`() throws {
    var task = task
    task.documents = .line
    let path = try scratch.write("a.jsonl", "{\"text\": \"ab\"}\n")
    #expect(refusal { _ = try open(path, task: task) }?.kind == .configuration)
  }
}
