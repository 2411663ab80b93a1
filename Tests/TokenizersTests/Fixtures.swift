import Foundation
import Platform
import TestSupport

@testable import Tokenizers

/// Small tokenizers, written to files by the tests themselves.
enum Fixture {
  /// Special tokens have the ids 0 to 4; the rest follow in order.
  static let words =
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    + [
      "the", "river", "run", "##ning", "##s", "un", "##happi", "##ness", "cafe", "café", ".", ",", "'", "!", "t", "don",
    ]
    + ["東", "京", "The", "a", "b", "c", "##a", "##b", "##c", "i\u{307}", "σ", "##σ", "-"]

  static func id(_ word: String) -> Int32 {
    Int32(words.firstIndex { $0.utf8.elementsEqual(word.utf8) }!)
  }

  static func ids(_ words: String...) -> [Int32] { words.map(id) }

  static let vocabulary = JSON.object(Dictionary(uniqueKeysWithValues: words.enumerated().map { ($1, .int($0)) }))

  static func addedToken(
    _ content: String, _ id: Int, special: Bool = true, singleWord: Bool = false, left: Bool = false,
    right: Bool = false, normalized: Bool = false
  ) -> JSON {
    [
      "id": .int(id), "content": .string(content), "special": .bool(special), "single_word": .bool(singleWord),
      "lstrip": .bool(left), "rstrip": .bool(right), "normalized": .bool(normalized),
    ]
  }

  /// The sections of a tokenizer.json as a BERT model has them.
  static func sections(lowercase: Bool = true) -> [String: JSON] {
    func special(_ name: String, _ type: Int) -> JSON {
      ["SpecialToken": ["id": .string(name), "type_id": .int(type)]]
    }
    func sequence(_ name: String, _ type: Int) -> JSON { ["Sequence": ["id": .string(name), "type_id": .int(type)]] }
    let single = [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)]
    return [
      "version": "1.0", "truncation": nil, "padding": nil,
      "added_tokens": .array(words.prefix(5).enumerated().map { addedToken($1, $0) }),
      "normalizer": [
        "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": nil,
        "lowercase": .bool(lowercase),
      ],
      "pre_tokenizer": ["type": "BertPreTokenizer"],
      "post_processor": [
        "type": "TemplateProcessing", "single": .array(single),
        "pair": .array(single + [sequence("B", 1), special("[SEP]", 1)]),
        "special_tokens": [
          "[CLS]": ["id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]],
          "[SEP]": ["id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]],
        ],
      ],
      "decoder": ["type": "WordPiece", "prefix": "##", "cleanup": true],
      "model": [
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": vocabulary,
      ],
    ]
  }

  /// Runs `body` with a directory that holds these files, and removes it.
  static func withDirectory<R>(_ files: [String: String], _ body: (String) throws -> R) throws -> R {
    let directory = try Shared.temporaryDirectory("tokenizer")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    for (name, content) in files { try writeFileAtomically(joinPath(directory, name), content) }
    return try body(directory)
  }

  /// The tokenizer of a directory with these files.
  static func tokenizer(_ files: [String: String]) throws -> any Tokenizer {
    try withDirectory(files) { directory in
      guard let tokenizer = try loadTokenizer(fromModelDirectory: directory) else {
        throw RetortError(.unexpected, "no tokenizer in the fixture")
      }
      return tokenizer
    }
  }

  /// The tokenizer of a tokenizer.json with the usual sections, some of them replaced.
  static func tokenizer(lowercase: Bool = true, replacing sections: [String: JSON] = [:]) throws -> any Tokenizer {
    let all = Fixture.sections(lowercase: lowercase).merging(sections) { $1 }
    return try tokenizer(["tokenizer.json": JSON.object(all).text()])
  }

  static var vocabularyText: String { words.joined(separator: "\n") + "\n" }
}

extension Tokenizer {
  /// The ids of a text without special tokens.
  func plainIDs(_ text: String) -> [Int32] {
    encode(text, pair: nil, maxLength: nil, addSpecialTokens: false).ids
  }
}
