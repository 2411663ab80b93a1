import Platform
import Testing

@testable import Tokenizers

/// Texts that are given as words.
@Suite struct WordTests {
  @Test func `each token has the index of its word, special tokens have -1`() throws {
    let tokenizer = try Fixture.tokenizer()
    let encoding = tokenizer.encode(words: ["The", "unhappiness", "runs!"], maxLength: nil, addSpecialTokens: true)
    let expected = Fixture.ids("[CLS]", "the", "un", "##happi", "##ness", "run", "##s", "!", "[SEP]")
    #expect(encoding.ids == expected)
    #expect(encoding.words == [-1, 0, 1, 1, 1, 2, 2, 2, -1])
    #expect(encoding.typeIDs == [Int32](repeating: 0, count: 9))
    let plain = tokenizer.encode(words: ["The", "unhappiness"], maxLength: nil, addSpecialTokens: false)
    #expect(plain.ids == Array(expected[1...4]) && plain.words == [0, 1, 1, 1])
  }

  @Test func `words without a token are skipped, unknown and special words are words`() throws {
    let tokenizer = try Fixture.tokenizer()
    let encoding = tokenizer.encode(
      words: ["", "zzz", "\u{301}", "[SEP]", " a"], maxLength: nil, addSpecialTokens: true)
    #expect(encoding.ids == Fixture.ids("[CLS]", "[UNK]", "[SEP]", "a", "[SEP]"))
    #expect(encoding.words == [-1, 1, 3, 4, -1])
    let empty = tokenizer.encode(words: [], maxLength: nil, addSpecialTokens: true)
    #expect(empty.ids == Fixture.ids("[CLS]", "[SEP]") && empty.words == [-1, -1])
  }

  @Test func `the tokens of the text are cut so that all fit with the special tokens`() throws {
    let tokenizer = try Fixture.tokenizer()
    func words(_ limit: Int, _ tokenizer: any Tokenizer) -> [Int32] {
      tokenizer.encode(words: ["the", "unhappiness", "run"], maxLength: limit, addSpecialTokens: true).words
    }
    #expect(words(7, tokenizer) == [-1, 0, 1, 1, 1, 2, -1])
    #expect(words(5, tokenizer) == [-1, 0, 1, 1, -1])
    #expect(words(2, tokenizer) == [-1, -1])
    #expect(words(1, tokenizer) == [-1])
    #expect(words(0, tokenizer) == [] && words(-3, tokenizer) == [])
    let left = try Fixture.tokenizer(replacing: ["truncation": ["direction": "Left"]])
    #expect(words(5, left) == [-1, 1, 1, 2, -1])
  }

  @Test func `each word is a text of its own for spaces and marks`() throws {
    var sections = Fixture.sections()
    let tokens = ["a", "b", "Ġ", "Ġa", "Ġb", "▁", "▁a", "▁b"]
    sections["added_tokens"] = []
    sections["post_processor"] = nil
    sections["normalizer"] = nil
    sections["model"] = [
      "type": "BPE", "vocab": .object(Dictionary(uniqueKeysWithValues: tokens.enumerated().map { ($1, .int($0)) })),
      "merges": [["Ġ", "a"], ["Ġ", "b"], ["▁", "a"], ["▁", "b"]],
    ]
    func ids(_ preTokenizer: JSON) throws -> [Int32] {
      sections["pre_tokenizer"] = preTokenizer
      let tokenizer = try Fixture.tokenizer(["tokenizer.json": JSON.object(sections).text()])
      let encoding = tokenizer.encode(words: ["a", " b", "b"], maxLength: nil, addSpecialTokens: true)
      #expect(encoding.words == [0, 1, 2])
      return encoding.ids
    }
    #expect(try ids(["type": "ByteLevel", "add_prefix_space": true, "use_regex": true]) == [3, 4, 4])
    #expect(try ids(["type": "ByteLevel", "add_prefix_space": false, "use_regex": true]) == [0, 4, 1])
    #expect(try ids(["type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"]) == [6, 7, 7])
    #expect(try ids(["type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"]) == [0, 7, 1])
  }
}
