import Collectives
import Datasets
import Foundation
import Platform
import TestSupport
import Testing
import Tokenizers

extension RankTests {
  @Suite struct TokenCacheTests {
    /// A tokenizer of bytes that fails the test when it is called after `isForbidden`.
    private struct Bytes: Tokenizer {
      let leadingToken: Int32? = nil

      func largestTypeID(isPair: Bool) -> Int32 { isPair ? 1 : 0 }

      var isForbidden = false
      var digest = "bytes"
      let vocabularySize = 256

      func encode(_ text: String, pair: String?, maxLength: Int?, addSpecialTokens: Bool) -> Encoding {
        if isForbidden { Issue.record("a cached row was tokenised again") }
        let ids = text.utf8.map { Int32($0) }.prefix(maxLength ?? .max)
        return Encoding(ids: Array(ids), typeIDs: ids.map { $0 % 2 })
      }

      func encodeNotingCuts(_ text: String, pair: String?, maxLength: Int?) -> (encoding: Encoding, isCut: Bool) {
        let encoding = encode(text, pair: pair, maxLength: maxLength, addSpecialTokens: true)
        return (encoding, encoding.ids.count < text.utf8.count)
      }

      let enclosure = (before: 0, after: 0)

      func enclose(_ ids: [Int32]) -> Encoding { Encoding(ids: ids, typeIDs: ids.map { $0 % 2 }) }

      func encode(words: [String], maxLength: Int?, addSpecialTokens: Bool) -> WordEncoding {
        let ids = encode(words.joined(), pair: nil, maxLength: maxLength, addSpecialTokens: false).ids
        let indices = words.enumerated().flatMap { index, word in word.utf8.map { _ in Int32(index) } }
        return WordEncoding(ids: ids, typeIDs: ids.map { $0 % 2 }, words: Array(indices.prefix(ids.count)))
      }

      func encode(aligned text: String, maxLength: Int?, addSpecialTokens: Bool) -> AlignedEncoding {
        let encoding = encode(text, pair: nil, maxLength: maxLength, addSpecialTokens: false)
        let offsets = text.unicodeScalars.enumerated().flatMap { index, scalar in
          [Range<Int>](repeating: index..<index + 1, count: String(scalar).utf8.count)
        }
        return AlignedEncoding(
          ids: encoding.ids, typeIDs: encoding.typeIDs, offsets: Array(offsets.prefix(encoding.ids.count)))
      }

      func decode(_ ids: [Int32], skipSpecialTokens: Bool) -> String { "" }
      func tokenID(_ token: String) -> Int32? { nil }
    }

    private static let task = TaskDescription(kind: .classification)

    /// A folder that all ranks share, made by rank 0; removed by it in `remove`.
    private func folder() throws -> String {
      let own = RankTests.world.isFirst ? try Shared.temporaryDirectory("ranks") : ""
      return try RankTests.world.broadcast(text: own)
    }

    private func remove(_ folder: String) throws {
      try RankTests.world.barrier()
      if RankTests.world.isFirst { try? FileManager.default.removeItem(atPath: folder) }
    }

    /// Writes a file on rank 0; all ranks may read it afterwards.
    private func write(_ path: String, _ text: String) throws {
      try RankTests.world.agree { if RankTests.world.isFirst { try writeFileAtomically(path, text) } }
    }

    private func open(
      _ path: String, _ tokenizer: Bytes?, cache: String?, labels: LabelSet? = nil
    ) throws -> TokenizedDataset {
      try TokenizedDataset.open(
        DatasetSplit(path), task: TokenCacheTests.task, labels: labels, tokenizer: tokenizer,
        options: .init(maxLength: 12, cacheDirectory: cache, threads: 2), on: RankTests.world)
    }

    private func rows(_ count: Int) -> [String] { (0..<count).map { "row \($0 * 7919 % 1009) \($0)" } }

    @Test func `documents and their rows are the same on any number of ranks`() throws {
      let folder = try folder()
      let path = joinPath(folder, "documents.jsonl")
      let rows = rows(300).enumerated().map { index, text in
        index % 4 == 0 ? "{\"text\": \"\(text)\", \"prompt\": \"row \"}" : "{\"text\": \"\(text)\"}"
      }
      try write(path, rows.joined(separator: "\n"))
      func open(_ communicator: any Communicator, cache: String?) throws -> PackedDocuments {
        try PackedDocuments.open(
          DatasetSplit(path), task: TaskDescription(kind: .languageModeling), tokenizer: Bytes(), endOfText: 200,
          options: .init(maxLength: 20, cacheDirectory: cache, threads: 2), on: communicator)
      }
      let mine = try open(RankTests.world, cache: joinPath(folder, "cache"))
      let alone = try open(SoloCommunicator(), cache: nil)
      let all = Array(0..<alone.count)
      #expect(mine.digest == alone.digest && mine.lengths == alone.lengths && mine.batch(all) == alone.batch(all))
      #expect(mine.predictedTokens < mine.totalTokens - 300)
      try remove(folder)
    }

    @Test func `ranks together make the tokens that one would make, once`() throws {
      let folder = try folder()
      for count in [1, 2, 3, 1_000] {
        let path = joinPath(folder, "\(count).tsv")
        let rows = rows(count)
        try write(
          path, "text\tlabel\n" + rows.enumerated().map { "\($1)\t\($0 % 3 == 0 ? "a" : "b")\n" }.joined())
        for (cache, forbidden) in [(folder, false), (folder, true), (nil, false)] as [(String?, Bool)] {
          let data = try open(path, Bytes(isForbidden: forbidden), cache: cache)
          #expect(data.count == count)
          #expect(data.labels == LabelSet(names: count == 1 ? ["a"] : ["a", "b"], reading: .name))
          for (index, row) in rows.enumerated() {
            let ids = row.utf8.prefix(12).map { Int32($0) }
            #expect(Array(data.tokens(index)) == ids)
            #expect(data.batch([index]).typeIDs == ids.map { $0 % 2 })
            #expect(data.label(index) == (index % 3 == 0 ? 0 : 1))
          }
        }
      }
      let other = try open(joinPath(folder, "3.tsv"), Bytes(digest: "other"), cache: folder)
      let same = try open(joinPath(folder, "3.tsv"), Bytes(isForbidden: true), cache: folder)
      #expect(other.digest != same.digest)
      let names = try listDirectory(joinPath(folder, "tokens"))
      #expect(names.count == 5 && names.allSatisfy { $0.utf8.count == 64 })
      try remove(folder)
    }

    @Test func `a row that one rank refuses is refused by all in the same words, without blame of a rank`() throws {
      let folder = try folder()
      let path = joinPath(folder, "a.jsonl")
      for bad in [1, 40, 97] {
        let lines = (1...97).map {
          $0 >= bad && $0 % 3 == bad % 3 ? "{\"ids\": [-\($0)]}" : "{\"ids\": [\($0)], \"label\": 0}"
        }
        try write(path, lines.joined(separator: "\n"))
        var failure: RetortError?
        do { _ = try open(path, nil, cache: folder, labels: LabelSet(count: 2)) } catch {
          failure = RetortError.wrap(error)
        }
        #expect(failure?.kind == .input)
        #expect(failure?.location == "\(path):\(bad)")
        #expect(failure?.isCollective == true)
        try RankTests.world.requireEqual("\(failure?.description ?? "none")", label: "the refusal")
      }
      // Folders of keys and their locks may be there, tokens are not.
      let root = joinPath(folder, "tokens")
      for key in fileExists(root) ? try listDirectory(root) : [] where isDirectory(joinPath(root, key)) {
        #expect(try listDirectory(joinPath(root, key)).allSatisfy { !$0.hasSuffix(".tokens") && $0 != "tokens" })
      }
      try remove(folder)
    }

    @Test func `a cache that cannot be written leaves the tokens in memory on every rank`() throws {
      let folder = try folder()
      let path = joinPath(folder, "a.txt.tsv")
      try write(path, "text\tlabel\nab\t1\ncd\t0\n")
      let data = try open(path, Bytes(), cache: path)
      #expect(Array(data.tokens(1)) == [99, 100])
      #expect(try RankTests.world.any(!data.notes.isEmpty))
      try remove(folder)
    }

    @Test func `ranks that see different files are refused`() throws {
      let folder = try folder()
      let path = joinPath(folder, "\(RankTests.world.rank).tsv")
      try writeFileAtomically(path, "x\tlabel\n\(min(RankTests.world.rank, 1))\t0\n")
      var failure: RetortError?
      do {
        let task = TaskDescription(kind: .features)
        _ = try FeatureDataset.open(DatasetSplit(path), task: task, labels: LabelSet(count: 2), on: RankTests.world)
      } catch { failure = RetortError.wrap(error) }
      #expect(failure?.kind == (RankTests.world.size > 1 ? .preflight : nil))
      try remove(folder)
    }
  }
}
