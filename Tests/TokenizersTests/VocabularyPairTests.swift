import Foundation
import Platform
import Testing

@testable import Tokenizers

/// Byte-level vocabularies in `vocab.json` and `merges.txt`.
@Suite struct VocabularyPairTests {
  private static let tokens = ["<s>", "</s>", "<|endoftext|>", "a", "b", "Ġ", "ab", "Ġab", "1", "é"]
  private static let vocabulary =
    "{" + tokens.enumerated().map { #""\#($1)": \#($0)"# }.joined(separator: ", ") + "}"
  private static let merges = "#version: 0.2\na b\r\nĠ ab\n"

  private func files(_ more: [String: String], merges: String = merges) -> [String: String] {
    ["vocab.json": VocabularyPairTests.vocabulary, "merges.txt": merges].merging(more) { $1 }
  }

  @Test func `the class or the model type decides what is built of them`() throws {
    let gpt2 = try Fixture.tokenizer(files(["config.json": #"{"model_type": "gpt2"}"#]))
    #expect(gpt2.encode("ab ab11<|endoftext|>").ids == [6, 7, 8, 8, 2])
    #expect(gpt2.decode([6, 7], skipSpecialTokens: true) == "ab ab")
    let roberta = try Fixture.tokenizer(
      files(["tokenizer_config.json": #"{"tokenizer_class": "RobertaTokenizer", "add_prefix_space": true}"#]))
    #expect(roberta.encode("ab").ids == [0, 7, 1])
    #expect(roberta.encode("ab", pair: "a", maxLength: nil, addSpecialTokens: true).ids == [0, 7, 1, 1, 5, 3, 1])
    let qwen = try Fixture.tokenizer(files(["tokenizer_config.json": #"{"tokenizer_class": "Qwen2TokenizerFast"}"#]))
    #expect(qwen.encode("ab<|endoftext|>").ids == [6, 2])
    #expect(qwen.tokenID("<|endoftext|>") == 2)
  }

  @Test func `add_bos_token and add_eos_token put tokens around a text`() throws {
    func tokenizer(_ settings: String, _ name: String = "GPT2Tokenizer") throws -> any Tokenizer {
      try Fixture.tokenizer(files(["tokenizer_config.json": #"{"tokenizer_class": "\#(name)", \#(settings)}"#]))
    }
    let both = try tokenizer(#""add_bos_token": true, "add_eos_token": true, "bos_token": "<s>""#)
    #expect(both.encode("ab").ids == [0, 6, 2])
    let pair = both.encode("ab", pair: "a", maxLength: nil, addSpecialTokens: true)
    #expect(pair.ids == [0, 6, 2, 0, 3, 2] && pair.typeIDs == [0, 0, 0, 1, 1, 1])
    #expect(try tokenizer(#""add_bos_token": false, "add_eos_token": true"#).encode("ab").ids == [6, 2])
    // Qwen's class has no token before a text unless a file names one.
    let settings = #""add_bos_token": true, "add_eos_token": true"#
    #expect(try tokenizer(settings, "Qwen2Tokenizer").encode("ab").ids == [6, 2])
  }

  @Test func `tokenizer.json and vocab.txt come first`() throws {
    let file = JSON.object(Fixture.sections()).text()
    #expect(try Fixture.tokenizer(files(["tokenizer.json": file])).plainIDs("the") == Fixture.ids("the"))
    #expect(
      try Fixture.tokenizer(files(["vocab.txt": Fixture.vocabularyText])).plainIDs("the") == Fixture.ids("the"))
  }

  @Test func `another class and damaged files are refused with their place`() throws {
    func refusal(_ files: [String: String]) throws -> RetortError {
      let error = try #require(throws: RetortError.self) { try Fixture.tokenizer(files) }
      #expect(error.kind == .input && error.remedy?.isEmpty == false)
      return error
    }
    #expect(try refusal(files([:])).what.contains("no file says which class reads them"))
    let type = ["config.json": #"{"model_type": "llama", "tokenizer_class": "LlamaTokenizer"}"#]
    #expect(try refusal(files(type)).what.contains("LlamaTokenizer does not read them"))
    let gpt2 = ["config.json": #"{"model_type": "gpt2"}"#]
    let cases = [
      ("#version: 0.2\na b c\n", "line 2", "two tokens"), ("a\n", "line 1", "two tokens"),
      ("a b\n\na b\n", "line 2", "two tokens"), ("a x\n", "line 1", "\"x\" is not in vocab.json"),
      ("a b\nb a\n", "line 2", "\"ba\" is not in vocab.json"),
    ]
    for (merges, line, what) in cases {
      let error = try refusal(files(gpt2, merges: merges))
      #expect(error.location?.hasSuffix("merges.txt, " + line) == true && error.what.contains(what), "\(error)")
    }
    let shape = try refusal(files(gpt2.merging(["vocab.json": "[1]"]) { $1 }, merges: ""))
    #expect(shape.location?.hasSuffix("vocab.json") == true, "\(shape)")
  }

  @Test func `a copy beside a model of another type names the class, or is refused`() throws {
    try Fixture.withDirectory(files(["config.json": #"{"model_type": "roberta"}"#])) { directory in
      func kept(_ type: String) throws -> JSON? {
        try tokenizerConfiguration(copiedFrom: directory, besideModelType: type, modelClass: nil)
          .map { try JSON(parsing: $0) }
      }
      #expect(try kept("roberta") == nil)
      #expect(try kept("bert")?["tokenizer_class"]?.string == "RobertaTokenizer")
      let error = try #require(throws: RetortError.self) { try kept("modernbert") }
      #expect(error.what.contains("modernbert"))
    }
  }
}
