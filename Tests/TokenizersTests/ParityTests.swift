import Foundation
import Platform
import TestSupport
import Testing

@testable import Tokenizers

/// What the Hugging Face library makes of awkward strings, as reference files beside the checkout have it.
@Suite(.enabled(if: Shared.path("parity/reference/tokenizers") != nil, "no reference tokenizers in ../shared"))
struct ParityTests {
  private struct Case {
    let value: JSON
    func text(_ key: String) throws -> String { try #require(value[key]?.string) }
    func ids(_ key: String) throws -> [Int32] { try #require(value[key]?.array).map { Int32(try #require($0.int)) } }
    var encoding: Encoding { get throws { Encoding(ids: try ids("ids"), typeIDs: try ids("type_ids")) } }
  }

  private func reference(_ name: String) throws -> (tokenizer: any Tokenizer, expected: (String) throws -> [Case]) {
    let directory = try #require(Shared.path("parity/reference/tokenizers/\(name)"))
    let tokenizer = try #require(try loadTokenizer(fromModelDirectory: directory))
    let file = try JSON(contentsOf: directory + "/expected.json")
    return (tokenizer, { key in try #require(file[key]?.array).map(Case.init) })
  }

  @Test(arguments: ["wordpiece-uncased", "wordpiece-cased", "bytelevel-gpt2", "bytelevel-llama3", "spm-llama2"])
  func `single texts have the reference's ids and decode to its text`(_ name: String) throws {
    let (tokenizer, expected) = try reference(name)
    for item in try expected("cases") {
      let text = try item.text("text")
      let encoding = tokenizer.encode(text)
      #expect(try encoding == item.encoding, "\(text.debugDescription)")
      #expect(try tokenizer.plainIDs(text) == item.ids("ids_without_special"), "\(text.debugDescription)")
      let decoded = tokenizer.decode(encoding.ids, skipSpecialTokens: true)
      #expect(try Array(decoded.utf8) == Array(item.text("decoded").utf8))
    }
  }

  @Test(arguments: ["wordpiece-uncased", "wordpiece-cased"])
  func `texts cut to a length have the reference's ids`(_ name: String) throws {
    let (tokenizer, expected) = try reference(name)
    for item in try expected("truncated_8") {
      #expect(try tokenizer.encode(item.text("text"), maxLength: 8) == item.encoding)
    }
  }

  @Test(arguments: ["wordpiece-uncased", "wordpiece-cased"])
  func `pairs have the reference's ids and segments, cut or whole`(_ name: String) throws {
    let (tokenizer, expected) = try reference(name)
    for (key, limit) in [("pairs", nil), ("pairs_truncated_longest_first_16", 16)] {
      for item in try expected(key) {
        let (first, second) = (try item.text("first"), try item.text("second"))
        let encoding = tokenizer.encode(first, pair: second, maxLength: limit, addSpecialTokens: true)
        #expect(try encoding == item.encoding, "\(key): \(first.debugDescription), \(second.debugDescription)")
      }
    }
  }
}

/// The tokenizer that most BERT models share.
@Suite(.enabled(if: Shared.path("data/bert-base-uncased") != nil, "no bert-base-uncased in ../shared"))
struct BERTBaseTests {
  @Test func `its two files are the same tokenizer`() throws {
    let directory = try #require(Shared.path("data/bert-base-uncased"))
    let json = try loadTokenizer(file: directory + "/tokenizer.json")
    let text = try loadTokenizer(file: directory + "/vocab.txt")
    #expect(json.digest == text.digest)
    #expect(json.vocabularySize == 30_522)
    #expect(json.encode("hello world!").ids == [101, 7592, 2088, 999, 102])
    #expect(text.decode([101, 7592, 2088, 999, 102], skipSpecialTokens: true) == "hello world!")
  }

  @Test func `every token of the vocabulary is found by its text`() throws {
    let directory = try #require(Shared.path("data/bert-base-uncased"))
    let tokenizer = try loadTokenizer(file: directory + "/tokenizer.json")
    let lines = String(decoding: try readFile(directory + "/vocab.txt"), as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 30_522)
    let wrong = lines.enumerated().filter { tokenizer.tokenID(String($1)) != Int32($0) }
    #expect(wrong.isEmpty)
  }
}
