import Foundation
import Platform
import TestSupport
import Testing

@testable import Tokenizers

/// Unigram tokenizers with a trained vocabulary, against the Hugging Face library itself.
@Suite(
  .enabled(
    if: HuggingFaceLibrary.isHere && Shared.path("data/corpus/wikitext-2") != nil && Shared.path("data/sst2") != nil,
    "RETORT_PYTHON names no Python with tokenizers, or WikiText-2 and SST-2 are not in ../shared"))
struct UnigramLibraryTests {
  @Test func `unigram tokenizers of every form give texts of many scripts the library's ids`() throws {
    let folder = try Shared.temporaryDirectory("unigram")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let python = try #require(ProcessInfo.processInfo.environment["RETORT_PYTHON"])
    let script = Shared.packageRoot + "/launch/lib/unigram-cases.py"
    let data = try #require(Shared.path("data"))
    try #require(try HuggingFaceLibrary.run(python, [script, folder, data, "12"]) == 0)
    for name in try listDirectory(folder).sorted() { try compare(joinPath(folder, name)) }
  }

  private func compare(_ directory: String) throws {
    let tokenizer = try #require(try loadTokenizer(fromModelDirectory: directory))
    let texts = try #require(try OrderedJSON(contentsOf: joinPath(directory, "texts.json")).array).compactMap(\.string)
    let words = try readFile(joinPath(directory, "ids.bin")).withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) }
    let decoded = try #require(try OrderedJSON(contentsOf: joinPath(directory, "decoded.json")).array).map(\.string)
    var index = 0
    var wrong = 0
    for (number, text) in texts.enumerated() {
      let end = index + 1 + Int(words[index])
      let ids = words[index + 1..<end]
      index = end
      let own = tokenizer.encode(text).ids
      if let expected = decoded[number] {
        let back = tokenizer.decode(Array(ids), skipSpecialTokens: true)
        #expect(Array(back.utf8) == Array(expected.utf8), "\(directory): \(ids.prefix(40))")
      }
      if own.elementsEqual(ids) { continue }
      wrong += 1
      if wrong < 4 { Issue.record("\(text.prefix(400).debugDescription): \(own.prefix(40)) for \(ids.prefix(40))") }
    }
    #expect(index == words.count && texts.count > 4000)
    #expect(wrong == 0, "\(directory): \(wrong) of \(texts.count)")
  }
}

/// Small unigram models, written by the tests themselves.
@Suite struct UnigramTests {
  private static let pieces: [(String, Double)] = [
    ("<unk>", 0), ("▁", -3), ("a", -2), ("b", -2), ("ab", -3.5), ("▁ab", -5), ("c", -2), ("bc", -5), ("東京", -60),
  ]

  static func file(
    _ pieces: [(String, Double)] = pieces, unknown: JSON? = 0, byteFallback: Bool = false, normalizer: JSON? = nil
  ) -> String {
    var model: [String: JSON] = [
      "type": "Unigram", "byte_fallback": .bool(byteFallback),
      "vocab": .array(pieces.map { [.string($0.0), .double($0.1)] }),
    ]
    if let unknown { model["unk_id"] = unknown }
    let sections: [String: JSON] = [
      "model": .object(model), "normalizer": normalizer ?? nil,
      "pre_tokenizer": ["type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true],
      "decoder": ["type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true],
    ]
    return JSON.object(sections).text()
  }

  private func ids(_ text: String, _ file: String = file()) throws -> [Int32] {
    try Fixture.tokenizer(["tokenizer.json": file]).plainIDs(text)
  }

  @Test func `a word becomes the tokens with the largest sum of scores`() throws {
    #expect(try ids("ab") == [5])
    // ▁ab + c = −7 wins against ▁ + a + bc = −10 and ▁ + ab + c = −8.5.
    #expect(try ids("abc") == [5, 6])
    #expect(try ids("ba") == [1, 3, 2])
    #expect(try ids("").isEmpty)
    #expect(
      try Fixture.tokenizer(["tokenizer.json": UnigramTests.file()]).decode([5, 1, 2], skipSpecialTokens: true)
        == "ab a")
  }

  @Test func `unknown characters next to each other are one token, unless together they are a token`() throws {
    #expect(try ids("aéèb") == [1, 2, 0, 3])
    // Two unknown characters score 2 · (−60 − 10), less than the token; with a score of −200 the token scores less.
    #expect(try ids("東京") == [1, 8])
    var pieces = UnigramTests.pieces
    pieces[8].1 = -200
    #expect(try ids("東京", UnigramTests.file(pieces)) == [1, 8])
    #expect(try ids("東東", UnigramTests.file(pieces)) == [1, 0])
  }

  @Test func `with byte fallback unknown characters become their bytes if all of them have tokens`() throws {
    let pieces = UnigramTests.pieces + [("<0xC3>", -1), ("<0xA9>", -1)]
    #expect(try ids("aéè", UnigramTests.file(pieces, byteFallback: true)) == [1, 2, 0])
    #expect(try ids("aé", UnigramTests.file(pieces, byteFallback: true)) == [1, 2, 9, 10])
    #expect(try ids("aé", UnigramTests.file(pieces)) == [1, 2, 0])
  }

  @Test func `scores, the unknown token and byte fallback change the digest`() throws {
    func digest(_ file: String) throws -> String { try Fixture.tokenizer(["tokenizer.json": file]).digest }
    var pieces = UnigramTests.pieces
    pieces[4].1 = -3
    let files = [
      UnigramTests.file(), UnigramTests.file(pieces), UnigramTests.file(unknown: 1),
      UnigramTests.file(byteFallback: true),
    ]
    #expect(try Set(files.map(digest)).count == 4)
  }

  @Test func `damaged models are refused with their place`() throws {
    func refusal(_ file: String) -> String {
      do {
        _ = try Fixture.tokenizer(["tokenizer.json": file])
        return "accepted"
      } catch { return String(describing: error) }
    }
    #expect(refusal(UnigramTests.file(unknown: nil)).contains("model.unk_id"))
    #expect(refusal(UnigramTests.file(unknown: 9)).contains("which has 9 tokens"))
    #expect(refusal(UnigramTests.file(unknown: -1)).contains("model.unk_id"))
    let file = UnigramTests.file()
    for score in ["NaN", "-Infinity", "\"x\"", "null"] {
      let text = file.replacingOccurrences(of: #"["a", -2.0]"#, with: "[\"a\", \(score)]")
      #expect(text != file && refusal(text).contains("model.vocab[2]"), "\(refusal(text))")
    }
    #expect(refusal(file.replacingOccurrences(of: #"["a", -2.0]"#, with: #"["a"]"#)).contains("model.vocab[2]"))
    #expect(refusal(UnigramTests.file([])).contains("empty"))
  }
}
