import Foundation
import Platform
import TestSupport
import Testing

@testable import Tokenizers

/// SentencePiece models, written by the tests themselves.
@Suite struct SentencePieceTests {
  /// Protobuf's wire format.
  private static func number(_ value: UInt64) -> [UInt8] {
    value < 128 ? [UInt8(value)] : [UInt8(value & 127) | 128] + number(value >> 7)
  }
  private static func field(_ index: UInt64, _ value: UInt64) -> [UInt8] { number(index << 3) + number(value) }
  private static func field(_ index: UInt64, _ value: [UInt8]) -> [UInt8] {
    number(index << 3 | 2) + number(UInt64(value.count)) + value
  }
  private static func field(_ index: UInt64, _ value: Float) -> [UInt8] {
    number(index << 3 | 5) + (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
  }

  private static let pieces: [(String, Float, UInt64)] = [
    ("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("▁", -4, 1), ("a", -3, 1), ("b", -3, 1), ("ab", -1, 1),
    ("▁ab", -2, 1), ("X", -3, 1), ("[U]", 0, 4),
  ]

  /// A model file; `type` 1 is unigram, 2 byte pair encoding.
  private static func file(
    _ pieces: [(String, Float, UInt64)] = pieces, type: UInt64 = 1, unknown: UInt64 = 0, map: [UInt8]? = nil,
    removesExtraSpaces: Bool = true
  ) -> [UInt8] {
    let trainer = field(3, type) + field(40, unknown)
    let normalizer = (map.map { field(2, $0) } ?? []) + field(4, UInt64(removesExtraSpaces ? 1 : 0))
    return pieces.flatMap { field(1, field(1, Array($0.0.utf8)) + field(2, $0.1) + field(3, $0.2)) }
      + field(2, trainer) + field(3, normalizer)
  }

  private func tokenizer(
    _ file: [UInt8], name: String = "tokenizer.model", _ config: String = "{}"
  ) throws -> any Tokenizer {
    try Fixture.withDirectory(["tokenizer_config.json": config]) { directory in
      try writeFileAtomically(joinPath(directory, name), Data(file))
      return try #require(try loadTokenizer(fromModelDirectory: directory))
    }
  }

  // The expected ids are those of AutoTokenizer.
  @Test func `a generic tokenizer does as the model itself says`() throws {
    let unigram = try tokenizer(SentencePieceTests.file())
    #expect(unigram.encode("ab  ab ").ids == [7, 7])
    #expect(unigram.encode("ab[U]ab<s>").ids == [7, 9, 6, 1])
    #expect(unigram.decode([7, 7, 9], skipSpecialTokens: true) == "ab ab[U]")
    let pairs = try tokenizer(SentencePieceTests.file(type: 2))
    #expect(pairs.encode("ab aab").ids == [7, 3, 4, 6])
    let spaces = try tokenizer(SentencePieceTests.file(removesExtraSpaces: false))
    #expect(spaces.encode(" ab").ids == [3, 7])
    let map = PrecompiledTests.map([("Ⅷ", "ab")])
    #expect(try tokenizer(SentencePieceTests.file(map: map)).encode("Ⅷ").ids == [7])
    #expect(try tokenizer(SentencePieceTests.file(), #"{"add_bos_token": true}"#).encode("ab").ids == [1, 7])
  }

  @Test func `classes reorder the pieces and put their tokens around a text`() throws {
    let file = SentencePieceTests.file()
    let xlmr = try tokenizer(file, name: "sentencepiece.bpe.model", #"{"tokenizer_class": "XLMRobertaTokenizer"}"#)
    #expect(xlmr.encode("ab é", pair: "a", maxLength: nil, addSpecialTokens: true).ids == [0, 8, 4, 3, 2, 2, 4, 5, 2])
    #expect(xlmr.vocabularySize == 12 && xlmr.tokenID("<mask>") == 11)
    let camembert = try tokenizer(file, name: "sentencepiece.bpe.model", #"{"tokenizer_class": "CamembertTokenizer"}"#)
    #expect(camembert.encode("ab").ids == [5, 11, 6] && camembert.tokenID("<unk>") == 3)
    let t5 = try tokenizer(file, name: "spiece.model", #"{"tokenizer_class": "T5Tokenizer", "extra_ids": 2}"#)
    #expect(t5.encode("ab<extra_id_0>").ids == [7, 11, 2] && t5.vocabularySize == 12)
    let llama = try tokenizer(
      SentencePieceTests.file(type: 2), #"{"tokenizer_class": "LlamaTokenizer", "add_bos_token": true}"#)
    #expect(llama.encode("ab ab").ids == [1, 7, 7])
  }

  @Test func `Gemma's class has no mark before a text, bytes for what it lacks, and its own special tokens`() throws {
    let pieces: [(String, Float, UInt64)] = [
      ("<pad>", 0, 3), ("<eos>", 0, 3), ("<bos>", 0, 3), ("<unk>", 0, 2), ("<mask>", 0, 4), ("<turn>", 0, 4),
      ("\n", 0, 4), ("<0xC3>", 0, 6), ("<0xA9>", 0, 6), ("▁", -1, 1), ("a", -2, 1), ("b", -3, 1), ("ab", -4, 1),
      ("▁ab", -5, 1),
    ]
    let file = SentencePieceTests.file(pieces, type: 2, unknown: 3)
    for settings in [
      #"{"tokenizer_class": "GemmaTokenizer"}"#, #"{"tokenizer_class": "GemmaTokenizerFast", "add_bos_token": true}"#,
    ] {
      let gemma = try tokenizer(file, settings)
      let begin: [Int32] = settings.contains("add_bos_token") ? [2] : []
      #expect(gemma.encode("ab  ab").ids == begin + [12, 9, 13])
      #expect(gemma.encode(" ab").ids == begin + [13] && gemma.encode("q a").ids == begin + [3, 9, 10])
      let text = gemma.encode("a b\n<turn>é<mask>").ids
      #expect(text == begin + [10, 9, 11, 6, 5, 7, 8, 4])
      // The mask has a role, and is special whatever kind of piece it is.
      #expect(gemma.decode(text, skipSpecialTokens: true) == "a b\n<turn>é")
      #expect(gemma.encode("ab", pair: "a", maxLength: nil, addSpecialTokens: true).ids == begin + [12] + begin + [10])
    }
  }

  @Test(arguments: ["mbart", "xlnet", "big_bird", "deberta-v2", "rembert", "pegasus", "code_llama"])
  func `a model type whose class has pieces or tokens of its own is refused by name`(type: String) throws {
    try Fixture.withDirectory(["config.json": #"{"model_type": "\#(type)"}"#]) { directory in
      try writeFileAtomically(joinPath(directory, "spiece.model"), Data(SentencePieceTests.file()))
      let refusal = #expect(throws: RetortError.self) { try loadTokenizer(fromModelDirectory: directory) }
      #expect(refusal?.kind == .input && refusal?.what.contains("Tokenizer is not supported") == true)
    }
  }

  @Test func `the class of a directory is AutoTokenizer's`() {
    func name(_ named: String?, _ modelType: String?) -> String? {
      TokenizerClasses.name(named, modelType: modelType, isConfigured: true)
    }
    #expect(name("XLMRobertaTokenizerFast", "bert") == "XLMRobertaTokenizer")
    #expect(name(nil, "xlm-roberta") == "XLMRobertaTokenizer" && name(nil, "camembert") == "CamembertTokenizer")
    #expect(name("BertTokenizer", "modernbert") == TokenizerClasses.generic)
    #expect(name("DistilBertTokenizerFast", "distilbert") == "BertTokenizer" && name(nil, "electra") == "BertTokenizer")
    #expect(
      name("LlamaTokenizer", "mistral") == TokenizerClasses.generic
        && name("LlamaTokenizer", "llama") == "LlamaTokenizer")
    #expect(name("PreTrainedTokenizerFast", "roberta") == TokenizerClasses.generic && name(nil, nil) == nil)
  }

  @Test func `copies beside a model of another type name the class that built the tokenizer`() throws {
    func written(_ files: [String: String], _ type: String) throws -> String? {
      let all = files.merging(["tokenizer.json": UnigramTests.file()]) { $1 }
      return try Fixture.withDirectory(all) { directory in
        let data = try tokenizerConfiguration(copiedFrom: directory, besideModelType: type, modelClass: nil)
        return try data.flatMap { try JSON(parsing: $0)["tokenizer_class"]?.string }
      }
    }
    let xlmr = ["config.json": #"{"model_type": "xlm-roberta"}"#]
    #expect(try written(xlmr, "xlm-roberta") == nil)
    #expect(try written(xlmr, "bert") == "XLMRobertaTokenizer")
    #expect(try written([:], "roberta") == "PreTrainedTokenizerFast" && written([:], "bert") == nil)
    let llama = [
      "config.json": #"{"model_type": "mistral"}"#, "tokenizer_config.json": #"{"tokenizer_class": "LlamaTokenizer"}"#,
    ]
    #expect(try written(llama, "llama") == "PreTrainedTokenizerFast" && written(llama, "mistral") == nil)
  }

  @Test func `RoBERTa's class has its own space, and tokens around a text`() throws {
    var file = try #require(BytePairTests.byteLevel(["Ġ a"]).object)
    file["added_tokens"] = [
      Fixture.addedToken("<s>", 258), Fixture.addedToken("</s>", 259), Fixture.addedToken("<t>", 260),
    ]
    func ids(_ config: String) throws -> [Int32] {
      try Fixture.tokenizer(["tokenizer.json": JSON.object(file).text(), "tokenizer_config.json": config])
        .encode("a", pair: "a", maxLength: nil, addSpecialTokens: true).ids
    }
    let a = try #require(try ids(#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#).first)
    #expect(try ids(#"{"tokenizer_class": "RobertaTokenizer"}"#) == [258, a, 259, 259, a, 259])
    #expect(
      try ids(#"{"tokenizer_class": "RobertaTokenizerFast", "add_prefix_space": true, "cls_token": "<t>"}"#)
        == [260, 256, 259, 259, 256, 259])
  }

  // As AutoTokenizer does.
  @Test func `classes with a pipeline of their own have their own special tokens, and those that are declared`() throws {
    var file = try #require(BytePairTests.byteLevel(["Ġ a"]).object)
    var model = try #require(file["model"]?.object)
    var vocabulary = try #require(model["vocab"]?.object)
    vocabulary["<|endoftext|>"] = 258
    model["vocab"] = .object(vocabulary)
    file["model"] = .object(model)
    file["added_tokens"] = [Fixture.addedToken("<|end|>", 257), Fixture.addedToken("<t>", 259)]
    func ids(_ text: String, _ config: JSON) throws -> [Int32] {
      try Fixture.tokenizer(["tokenizer.json": JSON.object(file).text(), "tokenizer_config.json": config.text()])
        .encode(text).ids
    }
    #expect(try ids("<|endoftext|>", ["tokenizer_class": "Qwen2Tokenizer"]) == [258])
    #expect(try ids("<|endoftext|>", ["tokenizer_class": "PreTrainedTokenizerFast"]).count == 13)
    for name in ["Qwen2Tokenizer", "GemmaTokenizer", "PreTrainedTokenizerFast"] {
      let config: JSON = ["tokenizer_class": .string(name), "added_tokens_decoder": ["257": ["content": "<|end|>"]]]
      #expect(try ids("<|end|>", config) == [257])
      #expect(try ids("<t>", config).count == (name == "PreTrainedTokenizerFast" ? 1 : 3), "\(name)")
    }
  }

  @Test func `classes whose use of a model is their own, and other types of model, are refused by name`() throws {
    func refusal(_ file: [UInt8], _ config: String = "{}") throws -> String {
      String(describing: try #require(throws: RetortError.self) { try tokenizer(file, config) })
    }
    #expect(
      try refusal(SentencePieceTests.file(), #"{"tokenizer_class": "XLNetTokenizer"}"#).contains("XLNetTokenizer"))
    #expect(try refusal(SentencePieceTests.file(type: 3)).contains("a model of words"))
    #expect(try refusal(SentencePieceTests.file(unknown: 10)).contains("10 pieces"))
    #expect(try refusal(SentencePieceTests.file([])).contains("no pieces"))
    #expect(try refusal(SentencePieceTests.file([("a", .nan, 1)])).contains("score of piece 0"))
    #expect(try refusal(SentencePieceTests.file([("a", 0, 9)])).contains("unknown type 9"))
    #expect(try refusal(SentencePieceTests.file(map: [1, 2, 3])).contains("precompiled_charsmap"))
    #expect(try refusal(Array("<html>".utf8)).contains("not a SentencePiece model"))
    let few = Array(SentencePieceTests.pieces.prefix(2))
    let xlmr = #"{"tokenizer_class": "T5Tokenizer", "extra_ids": 0}"#
    #expect(try refusal(SentencePieceTests.file(few), xlmr).contains("T5Tokenizer"))
  }

  @Test func `a model that ends anywhere, or is damaged anywhere, never traps`() throws {
    let whole = SentencePieceTests.file(map: PrecompiledTests.map([("Ⅷ", "ab")]).suffix(40).map { $0 })
    try Fixture.withDirectory([:]) { directory in
      let path = joinPath(directory, "tokenizer.model")
      for count in 0..<whole.count {
        try writeFileAtomically(path, Data(whole.prefix(count)))
        _ = (try? loadTokenizer(fromModelDirectory: directory))?.encode("ab [U]é")
        var changed = SentencePieceTests.file()
        changed[count % changed.count] ^= UInt8(truncatingIfNeeded: 1 << (count % 8))
        try writeFileAtomically(path, Data(changed))
        _ = (try? loadTokenizer(fromModelDirectory: directory))?.encode("ab [U]é")
      }
    }
  }

  @Test(
    .enabled(if: Shared.path("data/tokenizers/mistral-v1/tokenizer.model") != nil, "no mistral-v1 in ../shared"),
    arguments: ["stories260K", "tokenizers/mistral-v1"])
  func `a model gives the ids of the tokenizer.json that was made of it`(_ name: String) throws {
    let directory = try #require(Shared.path("data/" + name))
    let file = try loadTokenizer(file: directory + "/tokenizer.json")
    let model = try tokenizer([UInt8](try readFile(directory + "/tokenizer.model")), #"{"add_bos_token": true}"#)
    let corpus = try #require(Shared.path("data/corpus/tinystories_4M.txt"))
    let lines = String(decoding: try readFile(corpus).prefix(60_000), as: UTF8.self).split(separator: "\n")
    for line in lines + ["  two  spaces ", "", "東京 👩‍🚀 e\u{301} \t x", "a<s>b </s> c"] {
      #expect(model.encode(String(line)).ids == file.encode(String(line)).ids, "\(line)")
    }
  }
}
