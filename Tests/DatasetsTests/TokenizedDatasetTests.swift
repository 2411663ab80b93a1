import Collectives
import Foundation
import Platform
import TestSupport
import Testing

@testable import Datasets

@Suite struct TokenizedDatasetTests {
  let scratch: Scratch
  let task = TaskDescription(kind: .classification, labelNames: ["no", "yes"])
  let labels = LabelSet(names: ["no", "yes"])

  init() throws { scratch = try Scratch() }

  private var cache: String { joinPath(scratch.path, "cache") }

  private func open(
    _ path: String, task: TaskDescription? = nil, labels: LabelSet?? = nil, tokenizer: CountingTokenizer? = nil,
    maxLength: Int? = nil, vocabulary: Int? = nil, use: LabelUse = .expected, cached: Bool = true, threads: Int = 1
  ) throws -> TokenizedDataset {
    var task = task ?? self.task
    task.labelUse = use
    return try TokenizedDataset.open(
      DatasetSplit(path), task: task, labels: labels ?? self.labels, tokenizer: tokenizer,
      options: .init(
        maxLength: maxLength, vocabularySize: vocabulary, cacheDirectory: cached ? cache : nil, threads: threads),
      on: SoloCommunicator())
  }

  private func cacheFiles() throws -> [String] { try listDirectory(joinPath(cache, "tokens")) }

  private func content(_ data: TokenizedDataset) -> [TokenizedExample] {
    (0..<data.count).map {
      TokenizedExample(ids: Array(data.tokens($0)), typeIDs: data.batch([$0]).typeIDs, label: data.label($0))
    }
  }

  @Test func `text becomes ids with segments and classes, the second time without tokenising`() throws {
    let path = try scratch.write("a.tsv", "text\tother\tlabel\nab\tc\tyes\n\td\tno\nx\t\tNO\n")
    let task = TaskDescription(kind: .classification, columns: DatasetColumns(text: "text", textPair: "other"))
    let tokenizer = CountingTokenizer()
    let first = try open(path, task: task, tokenizer: tokenizer)
    #expect(tokenizer.callCount == 3)
    #expect(
      content(first) == [
        TokenizedExample(ids: [1, 100, 101, 2, 102, 2], typeIDs: [0, 0, 0, 0, 1, 1], label: 1),
        TokenizedExample(ids: [1, 2, 103, 2], typeIDs: [0, 0, 1, 1], label: 0),
        TokenizedExample(ids: [1, 123, 2, 2], typeIDs: [0, 0, 0, 1], label: 0),
      ])
    #expect(first.lengths == [6, 4, 4])
    let second = try open(path, task: task, tokenizer: tokenizer)
    #expect(tokenizer.callCount == 3)
    #expect(content(second) == content(first))
    #expect(second.digest == first.digest)
    #expect(try cacheFiles() == [first.digest])
  }

  @Test func `whatever decides the tokens decides the key`() throws {
    let path = try scratch.write("a.tsv", "text\tbody\tlabel\nab\tcd\t1\n")
    let base = try open(path, tokenizer: CountingTokenizer())
    let body = TaskDescription(kind: .classification, columns: DatasetColumns(text: "body"))
    let others = [
      try open(path, tokenizer: CountingTokenizer(digest: "others", shift: 5)),
      try open(path, task: body, tokenizer: CountingTokenizer()),
      try open(path, tokenizer: CountingTokenizer(), maxLength: 3),
      try open(path, labels: LabelSet(names: ["yes", "no"]), tokenizer: CountingTokenizer()),
      try open(path, tokenizer: CountingTokenizer(), use: .unread),
      try open(try scratch.write("b.tsv", "text\tbody\tlabel\nab\tcd\t0\n"), tokenizer: CountingTokenizer()),
    ]
    #expect(Set((others + [base]).map(\.digest)).count == others.count + 1)
    #expect(Array(others[0].tokens(0)) == [1, 105, 106, 2])
    #expect(Array(others[1].tokens(0)) == [1, 102, 103, 2])
    // The same content under another name is the same data.
    let copy = try scratch.write("copy.tsv", "text\tbody\tlabel\nab\tcd\t1\n")
    let counting = CountingTokenizer()
    #expect(try open(copy, tokenizer: counting).digest == base.digest)
    #expect(counting.callCount == 0)
  }

  @Test func `a cut or damaged cache file is made again`() throws {
    let path = try scratch.write("a.tsv", "text\tlabel\nab\t1\ncde\t0\n")
    let tokenizer = CountingTokenizer()
    let whole = try open(path, tokenizer: tokenizer)
    let file = joinPath(cache, "tokens/\(whole.digest)/tokens")
    let bytes = [UInt8](try readFile(file))
    var damages = [0, 1, 100, 128, bytes.count / 2, bytes.count - 1].map { Array(bytes[..<$0]) }
    damages.append(bytes + [0])
    for at in [0, 8, 16, 40, 90, 120] {
      var damaged = bytes
      damaged[at] ^= 1
      damages.append(damaged)
    }
    // Offsets, lengths: no index may lead outside the file.
    for at in [bytes.count - 16, bytes.count - 10, bytes.count - 32] {
      var damaged = bytes
      damaged[at] ^= 0x40
      damages.append(damaged)
    }
    for (number, damaged) in damages.enumerated() {
      try writeFileAtomically(file, Data(damaged))
      let again = try open(path, tokenizer: tokenizer)
      #expect(content(again) == content(whole))
      #expect(tokenizer.callCount == 2 * (number + 2))
      #expect([UInt8](try readFile(file)) == bytes)
    }
  }

  @Test func `threads and chunks change nothing`() throws {
    let rows = (0..<1_000).map { "row \($0 * 7919 % 1009)\t\($0 % 2)" }
    let path = try scratch.write("a.tsv", "text\tlabel\n" + rows.joined(separator: "\n"))
    let one = try open(path, tokenizer: CountingTokenizer(), cached: false)
    let many = try open(path, tokenizer: CountingTokenizer(), cached: false, threads: 3)
    #expect(content(one) == content(many))
    let file = try RowFile(path)
    var ends: [Int] = []
    while (ends.last ?? 0) < file.count { ends.append(file.chunkEnd(from: ends.last ?? 0, rows: 300, bytes: 2_000)) }
    #expect(ends.last == 1_000 && zip(ends, ends.dropFirst()).allSatisfy { $0 < $1 && $1 - $0 <= 300 })
    #expect(file.chunkEnd(from: 5, rows: 300, bytes: 0) == 6)
  }

  @Test func `nothing is left behind when a row is refused`() throws {
    let path = try scratch.write("a.tsv", "text\tlabel\nab\t1\ncde\t7\n")
    #expect(refusal { _ = try open(path, tokenizer: CountingTokenizer()) } != nil)
    // The labels are looked at before anything is written.
    #expect(((try? cacheFiles()) ?? []) == [])
  }

  @Test func `a label outside the set is refused with file, line, label and set`() throws {
    let path = try scratch.write("a.tsv", "text\tlabel\nab\t1\ncde\tmaybe\nx\t9\n")
    for threads in [1, 3] {
      let error = try #require(refusal { _ = try open(path, tokenizer: CountingTokenizer(), threads: threads) })
      #expect(error.kind == .input)
      #expect(error.location == "\(path):3")
      #expect(error.what == "the label \"maybe\" is not in the set: 0 (no), 1 (yes)")
    }
  }

  @Test func `without a set the classes are found in the file`() throws {
    let path = try scratch.write("a.csv", "text,label\na,spam\nb,ham\nc,spam\n")
    let task = TaskDescription(kind: .classification)
    let data = try open(path, task: task, labels: .some(nil), tokenizer: CountingTokenizer())
    #expect(data.labels == LabelSet(names: ["ham", "spam"], reading: .name))
    #expect((0..<3).map(data.label) == [1, 0, 1])
  }

  @Test func `ids need no tokenizer, and are cut with a note`() throws {
    let path = try scratch.write(
      "a.jsonl", "{\"ids\":[5,6,7,8],\"label\":1}\n{\"ids\":[9],\"label\":0}\n{\"label\":0,\"ids\":[1,2,3,4]}\n")
    for _ in 0..<2 {
      let data = try open(path, maxLength: 3)
      #expect(content(data).map(\.ids) == [[5, 6, 7], [9], [1, 2, 3]])
      #expect(data.notes == ["\(path): 2 of 3 rows of ids were cut to 3 tokens (the first: \(path):1)"])
    }
    #expect(try open(path).notes == [])
  }

  @Test func `ids outside the vocabulary are refused with line, id and size, from the cache too`() throws {
    let path = try scratch.write("a.jsonl", "{\"ids\":[5],\"label\":1}\n\n{\"ids\":[99,100],\"label\":0}\n")
    #expect(try open(path, vocabulary: 101).count == 2)
    let error = try #require(refusal { _ = try open(path, vocabulary: 100) })
    #expect(error.kind == .input && error.location == "\(path):3")
    #expect(error.what == "the token id 100 is outside the model's vocabulary of 100")
  }

  @Test(arguments: ["[]", "[-1]", "[1.5]", "[99999999999]", "\"5\"", "null", "[1, \"a\"]", "{}"])
  func `ids that are none are refused with their line`(ids: String) throws {
    let path = try scratch.write("a.jsonl", "{\"ids\":[5],\"label\":1}\n{\"ids\":\(ids),\"label\":0}\n")
    let error = try #require(refusal { _ = try open(path) })
    #expect(error.kind == .input && error.location == "\(path):2")
  }

  @Test func `text without a tokenizer, numbers as text and missing fields are refused`() throws {
    let path = try scratch.write("a.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\":5,\"label\":1}\n")
    #expect(refusal { _ = try open(path) }?.kind == .input)
    #expect(refusal { _ = try open(path, tokenizer: CountingTokenizer()) }?.location == "\(path):2")
    let gap = try scratch.write("b.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"body\":\"x\",\"label\":1}\n")
    let error = refusal { _ = try open(gap, tokenizer: CountingTokenizer()) }
    #expect(error?.what == "the row has no \"text\"; found: \"body\", \"label\"")
  }

  @Test func `a file without rows has no examples`() throws {
    let path = try scratch.write("a.tsv", "text\tlabel\n")
    let error = refusal { _ = try open(path, tokenizer: CountingTokenizer()) }
    #expect(error?.kind == .input && error?.what == "has no examples")
  }

  @Test func `where no cache can be written tokens are kept in memory with a note`() throws {
    let path = try scratch.write("a.tsv", "text\tlabel\nab\t1\n")
    let blocker = try scratch.write("file", "")
    let data = try TokenizedDataset.open(
      DatasetSplit(path), task: task, labels: labels, tokenizer: CountingTokenizer(),
      options: .init(cacheDirectory: blocker), on: SoloCommunicator())
    #expect(Array(data.tokens(0)) == [1, 100, 101, 2])
    #expect(data.notes.count == 1 && data.notes[0].hasPrefix("tokens are kept in memory"))
    #expect(data.digest == (try open(path, tokenizer: CountingTokenizer())).digest)
  }

  @Test func `content hashes follow ids and segments and nothing else`() throws {
    let data = try TokenizedDataset(examples: [
      TokenizedExample(ids: [1, 2, 3], label: 1), TokenizedExample(ids: [1, 2, 3], typeIDs: [0, 0, 0], label: 0),
      TokenizedExample(ids: [1, 2, 3], typeIDs: [0, 0, 1]), TokenizedExample(ids: [1, 2]),
      TokenizedExample(ids: [1, 3, 2]), TokenizedExample(ids: [1, 2, 3, 0, 0, 1]),
    ])
    let hashes = (0..<data.count).map(data.contentHash)
    #expect(hashes[0] == hashes[1])
    #expect(Set(hashes).count == 5)
    // The value is part of the format of caches that are keyed by it.
    #expect(hashes[0] == 0xcff2_8774_9ddc_5167)
  }

  @Test func `half a million different examples have different hashes`() throws {
    var seen = Set<UInt64>()
    for first in 0..<Int32(500_000) {
      seen.insert(
        [101, first % 700, first / 700, 102].withUnsafeBufferPointer { ContentHash.of(tokens: $0, typeIDs: nil) })
    }
    #expect(seen.count == 500_000)
  }

  @Test func `examples in memory must have ids, as many segments, and be there at all`() {
    for bad in [
      [], [TokenizedExample(ids: [])], [TokenizedExample(ids: [-1])], [TokenizedExample(ids: [1], typeIDs: [])],
    ] {
      #expect(refusal { _ = try TokenizedDataset(examples: bad) }?.kind == .input)
    }
  }

  @Test func `language modelling reads plain text without classes`() throws {
    let path = try scratch.write("a.txt", "one\n\ntwo\n")
    var task = TaskDescription(kind: .languageModeling)
    task.documents = .paragraph
    let data = try open(path, task: task, tokenizer: CountingTokenizer())
    #expect(data.count == 2 && data.label(1) == -1 && data.labels == nil && data.kind == .languageModeling)
  }

  @Test func `the cache lies where the environment says`() {
    #expect(CacheDirectory.path(environment: ["RETORT_CACHE": "/c", "XDG_CACHE_HOME": "/x", "HOME": "/h"]) == "/c")
    #expect(CacheDirectory.path(environment: ["XDG_CACHE_HOME": "/x", "HOME": "/h"]) == "/x/retort")
    #expect(CacheDirectory.path(environment: ["RETORT_CACHE": "", "HOME": "/h"]) == "/h/.cache/retort")
    #expect(CacheDirectory.path(environment: [:]) == nil)
  }

  @Test(.enabled(if: Shared.path("data/sst2/train.tsv") != nil, "the SST-2 files are not beside the checkout"))
  func `SST-2 is read whole`() throws {
    let sst2 = try TaskDescription(named: "sst2")
    let names = LabelSet(names: try #require(sst2.labelNames))
    for (split, count, positive) in [("train", 67_349, 37_569), ("dev", 872, 444)] {
      let path = try #require(Shared.path("data/sst2/\(split).tsv"))
      let data = try open(path, task: sst2, labels: names, tokenizer: CountingTokenizer(), maxLength: 128)
      #expect(data.count == count)
      #expect((0..<data.count).count { data.label($0) == 1 } == positive)
    }
  }
}
