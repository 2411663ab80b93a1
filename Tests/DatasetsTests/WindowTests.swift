import Collectives
import Foundation
import Platform
import TestSupport
import Testing

@testable import Datasets

/// Texts longer than the maximum length, read in windows that overlap.
@Suite struct WindowTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func open(
    _ path: String, _ kind: TaskKind, stride: Int?, maxLength: Int? = 6, labels: [String]? = nil,
    subwords: SubwordUse = .first
  ) throws -> TokenizedDataset {
    var task = TaskDescription(kind: kind)
    task.subwords = subwords
    task.stride = stride.map { WindowStride($0, at: "stride") }
    return try TokenizedDataset.open(
      DatasetSplit(path), task: task, labels: labels.map { LabelSet(names: $0) }, tokenizer: CountingTokenizer(),
      options: .init(maxLength: maxLength, cacheDirectory: joinPath(scratch.path, "cache")), on: SoloCommunicator())
  }

  @Test(arguments: [(3, 0), (4, 2), (7, 6), (10, 3), (1, 0)])
  func `windows reach over the whole text, share the stride, and each token counts where it has most context`(
    capacity: Int, stride: Int
  ) throws {
    let windows = try TextWindows(stride, maxLength: capacity + 2, CountingTokenizer(), at: "stride")
    for count in 1...40 {
      let ranges = windows.ranges(of: count)
      #expect(ranges.first?.lowerBound == 0 && ranges.last?.upperBound == count)
      for (a, b) in zip(ranges, ranges.dropFirst()) {
        #expect(a.count == capacity && b.lowerBound == a.upperBound - stride && b.upperBound > a.upperBound)
      }
      func context(_ token: Int, _ range: Range<Int>) -> Int {
        min(
          range.lowerBound == 0 ? .max : token - range.lowerBound,
          range.upperBound == count ? .max : range.upperBound - 1 - token)
      }
      for (token, home) in windows.homes(of: (0..<count).map { $0..<$0 + 1 }, in: ranges, count: count)
        .enumerated() {
        try #require(ranges[home].contains(token))
        let most = ranges.filter { $0.contains(token) }.map { context(token, $0) }.max()
        #expect(context(token, ranges[home]) == most, "token \(token) of \(count) in \(ranges)")
      }
    }
  }

  @Test func `every word of a long sentence has one row, and its windows are the sequences of one example`() throws {
    let path = try scratch.write("a.conll", "abc B-X\nde I-X\nf O\ngh B-X\n\na O\n")
    let data = try open(path, .tokenClassification, stride: 2, labels: ["O", "B-X", "I-X"])
    // Letters a b c d e f g h in windows of four: abcd cdef efgh.
    let batch = data.batch([0, 1])
    let letters = batch.tokens.map { $0 > 3 ? String(UnicodeScalar(UInt8($0 - 3))) : "\($0)" }.joined()
    #expect(letters == "1abcd21cdef21efgh21a2")
    #expect(batch.lengths == [6, 6, 6, 3] && batch.continues == [false, true, true, false])
    #expect(batch.texts == [0..<3, 3..<4] && batch.examples == [0..<3, 3..<4])
    #expect(batch.samples == [0, 2, 4, 1] && data.sequenceLengths([0, 1]) == [6, 6, 6, 3])
    // First letters: abc is in the first window, de whole in the second alone, f farther from a cut in the third.
    #expect(batch.rowLabels == [1, 2, 0, 1, 0] && data.lossRows(0) == 4 && data.labelledRows(0) == 4)
    #expect(batch.countedTokens.map { letters[letters.index(letters.startIndex, offsetBy: Int($0))] } == Array("adfga"))
    #expect(data.notes.isEmpty)
    let all = try open(path, .tokenClassification, stride: 2, labels: ["O", "B-X", "I-X"], subwords: .all)
    #expect(all.lossRows(0) == 8 && all.batch([0]).rowLabels == [1, 1, 1, 2, 2, 0, 1, 1])
    let cut = try open(path, .tokenClassification, stride: nil, labels: ["O", "B-X", "I-X"])
    #expect(cut.lossRows(0) == 2 && cut.notes.count == 1 && cut.digest != data.digest)
    #expect(cut.batch([0, 1]).examples == [0..<1, 1..<2])
    // A text that fits is the same with and without a stride.
    #expect(cut.batch([1]).tokens == data.batch([1]).tokens && cut.batch([1]).targets == data.batch([1]).targets)
  }

  @Test func `the texts of a pair have windows of their own`() throws {
    let path = try scratch.write(
      "p.jsonl",
      """
      {"sentence1": "abcdef", "sentence2": "xy", "score": 2}
      {"sentence1": "a", "sentence2": "uvwxyz", "score": 1}
      """)
    let data = try open(path, .embedding, stride: 1)
    let batch = data.batch([0, 1])
    #expect(batch.lengths == [6, 5, 4, 3, 6, 5])
    #expect(batch.isSecond == [false, false, true, false, true, true])
    #expect(batch.continues == [false, true, false, false, false, true])
    #expect(batch.texts == [0..<2, 2..<3, 3..<4, 4..<6] && batch.examples == [0..<3, 3..<6])
    #expect(batch.values.map { $0.isNaN ? -1 : $0 } == [2, -1, -1, 1, -1, -1])
    #expect((0..<2).map(data.lossRows) == [3, 3] && Set(batch.samples).count == 6)
    #expect(batch.samples[0] == 0 && batch.samples[3] == 1)
  }

  @Test func `ids have special tokens of their own and are cut`() throws {
    let path = try scratch.write("i.jsonl", "{\"ids\": [5, 6, 7, 8, 9, 10, 11], \"tags\": [0, 1, 0, 1, 0, 1, 0]}\n")
    let data = try open(path, .tokenClassification, stride: 2, labels: ["O", "B-X"])
    #expect(data.length(0) == 6 && data.notes.count == 1 && data.batch([0]).continues.isEmpty)
  }

  @Test func `a stride that does not fit a window is refused with the tokens that a window has`() throws {
    let path = try scratch.write("t.jsonl", "{\"text\": \"abc\"}\n")
    for (stride, said) in [(4, "below the 4 tokens"), (5, "below the 4 tokens")] {
      let error = #expect(throws: RetortError.self) { try open(path, .embedding, stride: stride) }
      #expect(error?.kind == .configuration && error?.what.contains(said) == true, "\(String(describing: error))")
    }
    _ = try open(path, .embedding, stride: 3)
  }
}
