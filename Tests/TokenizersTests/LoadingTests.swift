import Foundation
import Platform
import TestSupport
import Testing

@testable import Tokenizers

@Suite struct LoadingTests {
  @Test func `vocab.txt and tokenizer.json of one tokenizer have one digest and the same ids`() throws {
    let json = try Fixture.tokenizer()
    let text = try Fixture.tokenizer(["vocab.txt": Fixture.vocabularyText])
    #expect(json.digest == text.digest)
    #expect(json.digest.count == 64)
    #expect(json.encode("The rivers, 東京!") == text.encode("The rivers, 東京!"))
    let windows = try Fixture.tokenizer(["vocab.txt": Fixture.words.joined(separator: "\r\n")])
    #expect(windows.digest == json.digest)
  }

  @Test func `whatever changes ids changes the digest, and nothing else does`() throws {
    var sections = Fixture.sections()
    let usual = try Fixture.tokenizer().digest
    var model = try #require(sections["model"]?.object)
    model["max_input_chars_per_word"] = 50
    let changes: [[String: JSON]] = [
      ["normalizer": nil], ["pre_tokenizer": nil], ["post_processor": nil], ["model": .object(model)],
      ["added_tokens": []],
    ]
    let digests =
      try changes.map { try Fixture.tokenizer(replacing: $0).digest } + [
        usual, try Fixture.tokenizer(lowercase: false).digest,
      ]
    #expect(Set(digests).count == digests.count)
    sections["decoder"] = nil
    #expect(try Fixture.tokenizer(["tokenizer.json": JSON.object(sections).text(indent: 2)]).digest == usual)
  }

  @Test func `tokenizer_config.json says how vocab.txt is used`() throws {
    let config: JSON = ["do_lower_case": false, "tokenize_chinese_chars": false]
    let cased = try Fixture.tokenizer(["vocab.txt": Fixture.vocabularyText, "tokenizer_config.json": config.text()])
    #expect(cased.plainIDs("The the café 東京") == Fixture.ids("The", "the", "café", "[UNK]"))
    let accents = try Fixture.tokenizer([
      "vocab.txt": Fixture.vocabularyText, "tokenizer_config.json": #"{"strip_accents": false}"#,
    ])
    #expect(accents.plainIDs("CAFÉ") == Fixture.ids("café"))
    #expect(try Fixture.tokenizer(["vocab.txt": Fixture.vocabularyText]).plainIDs("CAFÉ") == Fixture.ids("cafe"))
  }

  @Test func `special tokens have the names that the files beside vocab.txt give them`() throws {
    let tokenizer = try Fixture.tokenizer([
      "vocab.txt": "<pad>\n<unk>\n<s>\n</s>\na\n<extra>\n",
      "tokenizer_config.json": #"{"unk_token": "<unk>", "cls_token": {"content": "<s>"}, "pad_token": null}"#,
      "special_tokens_map.json": #"{"sep_token": "</s>", "additional_special_tokens": ["<extra>"]}"#,
      "added_tokens.json": #"{"<new>": 6}"#,
    ])
    #expect(tokenizer.encode("a q <extra><NEW>").ids == [2, 4, 1, 5, 6, 3])
    #expect(tokenizer.vocabularySize == 7)
  }

  @Test func `tokenizer_config.json wins over tokenizer.json, except for the generic classes`() throws {
    let file = JSON.object(Fixture.sections()).text()
    let cased = try Fixture.tokenizer(["tokenizer.json": file, "tokenizer_config.json": #"{"do_lower_case": false}"#])
    #expect(cased.plainIDs("The") == Fixture.ids("The"))
    let generic = #"{"do_lower_case": false, "tokenizer_class": "PreTrainedTokenizerFast"}"#
    let same = try Fixture.tokenizer(["tokenizer.json": file, "tokenizer_config.json": generic])
    #expect(same.plainIDs("The") == Fixture.ids("the"))
    try Fixture.withDirectory(["tokenizer.json": file, "tokenizer_config.json": generic]) { directory in
      let alone = try loadTokenizer(file: joinPath(directory, "tokenizer.json"))
      #expect(alone.plainIDs("The") == Fixture.ids("the"))
    }
  }

  @Test func `a directory without tokenizer files has no tokenizer`() throws {
    try Fixture.withDirectory(["config.json": "{}"]) { directory in
      let tokenizer = try loadTokenizer(fromModelDirectory: directory)
      #expect(tokenizer == nil)
      #expect(tokenizerFiles(inModelDirectory: directory).isEmpty)
    }
  }

  @Test func `the tokenizer's files are listed and the model's are not`() throws {
    let files = ["config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "special_tokens_map.json"]
    try Fixture.withDirectory(Dictionary(uniqueKeysWithValues: files.map { ($0, "") })) { directory in
      #expect(
        Set(tokenizerFiles(inModelDirectory: directory)) == ["vocab.txt", "tokenizer.json", "special_tokens_map.json"])
    }
  }

  @Test func `tokens that are canonically equal but differ in bytes keep their own ids`() throws {
    // A Swift dictionary takes these keys for one.
    let tokenizer = try Fixture.tokenizer([
      "tokenizer.json": """
      {"model": {"type": "WordPiece", "vocab":
        {"[UNK]": 0, "caf\u{e9}": 1, "cafe\\u0301": 2, "\u{212b}": 3, "\u{c5}": 4, "\\ud83d\\ude42": 5}}}
      """
    ])
    #expect(tokenizer.plainIDs("caf\u{e9}") == [1])
    #expect(tokenizer.plainIDs("cafe\u{301}") == [2])
    #expect(tokenizer.tokenID("\u{212b}") == 3)
    #expect(tokenizer.tokenID("\u{c5}") == 4)
    #expect(tokenizer.plainIDs("🙂") == [5])
  }
}

@Suite struct BrokenFileTests {
  /// The error that loading these files throws; it must be an `.input` error that names the directory and a remedy.
  private func refusal(
    _ files: [String: String], sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> RetortError {
    try Fixture.withDirectory(files) { directory in
      let error = try #require(
        throws: RetortError.self, sourceLocation: sourceLocation,
        performing: { try loadTokenizer(fromModelDirectory: directory) })
      #expect(error.kind == .input, sourceLocation: sourceLocation)
      #expect(error.location?.hasPrefix(directory) == true, "\(error)", sourceLocation: sourceLocation)
      #expect(error.remedy?.isEmpty == false, "\(error)", sourceLocation: sourceLocation)
      return error
    }
  }

  private func refusal(
    replacing sections: [String: JSON], sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> RetortError {
    let all = Fixture.sections().merging(sections) { $1 }
    return try refusal(["tokenizer.json": JSON.object(all).text()], sourceLocation: sourceLocation)
  }

  private func refusal(
    vocabulary: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> RetortError {
    try refusal(
      ["tokenizer.json": #"{"model": {"type": "WordPiece", "vocab": \#(vocabulary)}}"#], sourceLocation: sourceLocation)
  }

  @Test(arguments: [
    "", "{", "[", "nul", "{\"a\" 1}", "{\"a\": 1,}", "{\"a\": \"\\x\"}", "{} {}", "{\"a\": \"\\ud800\"}", "{\"a\": \"x",
    "{\"a\": -}", "[1 2]", "{1: 2}", "{\"a\": 1e999}", "\u{feff}{}", "{\"a\": \"\n\"}",
  ])
  func `text that is not JSON is refused with its line`(_ text: String) throws {
    let error = try refusal(["tokenizer.json": text])
    #expect(error.what.hasPrefix("not valid JSON") && error.location?.contains("line 1") == true, "\(error)")
  }

  @Test func `deep nesting is refused before the stack ends`() throws {
    let text = String(repeating: "[", count: 1_000_000)
    #expect(try refusal(["tokenizer.json": text]).what.contains("nested too deeply"))
  }

  @Test func `JSON of another shape is refused`() throws {
    #expect(try refusal(["tokenizer.json": "[1, 2]"]).what == "is not a JSON object")
    #expect(try refusal(["tokenizer.json": "{}"]).what == "has no model section")
    #expect(try refusal(["tokenizer.json": #"{"model": {"type": "WordPiece"}}"#]).what == "has no vocabulary")
    #expect(try refusal(replacing: ["added_tokens": 3]).what == "is not a list")
    #expect(try refusal(replacing: ["normalizer": 3]).what == "has no type")
    #expect(try refusal(["vocab.txt": "[UNK]", "tokenizer_config.json": "7"]).what == "is not a JSON object")
  }

  @Test func `a damaged vocabulary is refused with the token that shows it`() throws {
    #expect(try refusal(vocabulary: "{}").what == "the vocabulary is empty")
    #expect(try refusal(vocabulary: "[]").what == "is not an object of tokens and ids")
    #expect(try refusal(vocabulary: #"{"[UNK]": 0, "x": -1}"#).what.contains("\"x\" has the id -1"))
    #expect(try refusal(vocabulary: #"{"[UNK]": 0, "x": 0}"#).what.contains("have the same id 0"))
    #expect(try refusal(vocabulary: #"{"[UNK]": 0, "x": 1, "x": 2}"#).what.contains("\"x\" has two ids, 1 and 2"))
    #expect(try refusal(vocabulary: #"{"[UNK]": 0, "x": 1.5}"#).what.contains("is not an integer"))
    #expect(try refusal(vocabulary: #"{"[UNK]": 0, "x": 99999999999}"#).what.contains("outside 0...16777215"))
    #expect(try refusal(vocabulary: #"{"x": 0}"#).what.contains("\"[UNK]\" is not in the vocabulary"))
  }

  @Test func `a damaged vocab.txt is refused`() throws {
    #expect(try refusal(["vocab.txt": ""]).what == "the vocabulary is empty")
    #expect(try refusal(["vocab.txt": "a\nb\n"]).what.contains("\"[UNK]\" is not in the vocabulary"))
    #expect(try refusal(["vocab.txt": "[UNK]\n[CLS]\na\n"]).what.contains("\"[SEP]\" is not in the vocabulary"))
    try Fixture.withDirectory([:]) { directory in
      try writeFileAtomically(joinPath(directory, "vocab.txt"), Data([0x61, 0x0a, 0xff, 0xfe, 0x0a]))
      let error = try #require(throws: RetortError.self) { try loadTokenizer(fromModelDirectory: directory) }
      #expect(error.kind == .input && error.location?.hasSuffix("vocab.txt, line 2") == true, "\(error)")
    }
  }

  @Test func `kinds of tokenizer that are not supported are refused by name`() throws {
    let words: JSON = ["type": "WordLevel", "vocab": ["a": 0]]
    #expect(try refusal(replacing: ["model": words]).what.contains("WordLevel"))
    #expect(try refusal(replacing: ["normalizer": ["type": "ByteLevel"]]).what.contains("ByteLevel"))
    #expect(try refusal(replacing: ["pre_tokenizer": ["type": "UnicodeScripts"]]).what.contains("UnicodeScripts"))
    #expect(try refusal(replacing: ["post_processor": ["type": "Other"]]).what.contains("Other"))
    #expect(try refusal(replacing: ["decoder": ["type": "CTC"]]).what.contains("CTC"))
    #expect(try refusal(["vocab.json": "{}"]).what.contains("no tokenizer.json, SentencePiece model or vocab.txt"))
    #expect(try refusal(["vocab.json": "{}", "merges.txt": ""]).what.contains("no file says which class"))
    #expect(throws: RetortError.self) { try loadTokenizer(file: Shared.nowhere + "/spiece.model") }
    #expect(throws: RetortError.self) { try loadTokenizer(file: Shared.nowhere + "/vocab.txt") }
  }

  @Test func `added tokens that contradict the vocabulary or each other are refused`() throws {
    func refusal(_ tokens: JSON...) throws -> String {
      try self.refusal(replacing: ["added_tokens": .array(tokens)]).what
    }
    #expect(try refusal(Fixture.addedToken("x", 5)).contains("id 5 is both \"the\" and \"x\""))
    #expect(try refusal(Fixture.addedToken("the", 90)).contains("\"the\" has id 90, but 5 in the vocabulary"))
    #expect(try refusal(Fixture.addedToken("x", 90), Fixture.addedToken("y", 90)).contains("id 90 is both"))
    #expect(try refusal(Fixture.addedToken("x", -3)).contains("has no id"))
    #expect(try refusal(Fixture.addedToken("", 90)).contains("has no content"))
  }

  @Test func `a template that loses a text or names unknown tokens is refused`() throws {
    func refusal(_ change: (inout [String: JSON]) -> Void) throws -> String {
      var section = Fixture.sections()["post_processor"]?.object ?? [:]
      change(&section)
      return try self.refusal(replacing: ["post_processor": .object(section)]).what
    }
    #expect(try refusal { $0["single"] = [] }.contains("sequence A once"))
    #expect(try refusal { $0["pair"] = $0["single"] }.contains("A and B once each"))
    #expect(try refusal { $0["special_tokens"] = [:] }.contains("\"[CLS]\" has no ids"))
    #expect(try refusal { $0["special_tokens"] = ["[CLS]": ["ids": [9999]]] }.contains("no id below"))
    #expect(try refusal { $0["single"] = ["A"] }.contains("neither SpecialToken nor Sequence"))
  }
}
