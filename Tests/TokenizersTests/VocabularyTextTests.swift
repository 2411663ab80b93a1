import Foundation
import Platform
import TestSupport
import Testing

@testable import Tokenizers

/// `vocab.txt` of the classes that read it, without tokenizer.json.
@Suite struct VocabularyTextTests {
  private let mpnet = "<s>\n<pad>\n</s>\n[UNK]\na\nb\n##c\n[SEP]\n<mask>\n"

  // The expected ids and offsets are those of AutoTokenizer.
  @Test(arguments: [
    ["tokenizer_config.json": #"{"tokenizer_class": "MPNetTokenizerFast"}"#],
    ["config.json": #"{"model_type": "mpnet"}"#],
  ])
  func `MPNet's class has its own special tokens, and two of them between the texts of a pair`(files: [String: String])
    throws
  {
    let tokenizer = try Fixture.tokenizer(files.merging(["vocab.txt": mpnet]) { $1 })
    let pair = tokenizer.encode("A <mask> zz", pair: "bc", maxLength: nil, addSpecialTokens: true)
    #expect(pair.ids == [0, 4, 8, 3, 2, 2, 5, 6, 2] && pair.typeIDs.allSatisfy { $0 == 0 })
    let aligned = tokenizer.encode(aligned: "a <mask> b", maxLength: nil)
    #expect(aligned.ids == [0, 4, 8, 5, 2] && aligned.offsets[2] == 2..<8)
    #expect(tokenizer.encode("[SEP]").ids != [0, 7, 2], "[SEP] is no special token here")
    #expect(tokenizer.vocabularySize == 9)
  }

  @Test func `MPNet's class has its own tokens around a text beside tokenizer.json too`() throws {
    var file = try #require(JSON.object(Fixture.sections()).object)
    let words = mpnet.split(separator: "\n").enumerated()
    var model = try #require(file["model"]?.object)
    model["vocab"] = .object(Dictionary(uniqueKeysWithValues: words.map { (String($1), .int($0)) }))
    (file["model"], file["added_tokens"], file["post_processor"]) = (.object(model), [], nil)
    let files = ["tokenizer.json": JSON.object(file).text(), "config.json": #"{"model_type": "mpnet"}"#]
    let tokenizer = try Fixture.tokenizer(files)
    let pair = tokenizer.encode("A <mask> zz", pair: "bc", maxLength: nil, addSpecialTokens: true)
    #expect(pair.ids == [0, 4, 8, 3, 2, 2, 5, 6, 2])
    #expect(tokenizer.remarks.isEmpty)
    file["pre_tokenizer"] = ["type": "Whitespace"]
    let other = try Fixture.tokenizer(files.merging(["tokenizer.json": JSON.object(file).text()]) { $1 })
    #expect(other.remarks.first?.contains("uses MPNetTokenizer's instead") == true)
  }

  @Test func `tokenizer_config.json renames MPNet's tokens, and a vocabulary without them is refused`() throws {
    let named = #"{"tokenizer_class": "MPNetTokenizer", "cls_token": "a", "sep_token": "[SEP]", "do_lower_case": false}"#
    let tokenizer = try Fixture.tokenizer(["vocab.txt": mpnet, "tokenizer_config.json": named])
    #expect(tokenizer.encode("b A").ids == [4, 5, 3, 7])
    let refusal = #expect(throws: RetortError.self) {
      try Fixture.tokenizer(["vocab.txt": Fixture.vocabularyText, "config.json": #"{"model_type": "mpnet"}"#])
    }
    #expect(refusal?.what.contains("\"<s>\"") == true && refusal?.remedy?.contains("cls_token") == true)
  }

  /// Each has other special tokens, pieces or files than BERT's class.
  @Test(arguments: [
    "FunnelTokenizer", "SplinterTokenizerFast", "EsmTokenizer", "BertJapaneseTokenizer", "RoFormerTokenizer",
    "PhobertTokenizer", "RobertaTokenizer", "XLMRobertaTokenizer", "GPT2TokenizerFast", "OwnTokenizer",
  ])
  func `a class that reads another vocab.txt is refused by name`(name: String) throws {
    let refusal = #expect(throws: RetortError.self) {
      try Fixture.tokenizer([
        "vocab.txt": Fixture.vocabularyText, "tokenizer_config.json": #"{"tokenizer_class": "\#(name)"}"#,
      ])
    }
    let short = name.hasSuffix("Fast") ? String(name.dropLast(4)) : name
    #expect(refusal?.kind == .input && refusal?.what.hasPrefix("\(short) does not read this file") == true)
    #expect(refusal?.remedy?.contains("BertTokenizer") == true)
  }

  @Test(arguments: ["funnel", "splinter", "esm", "tapas", "roberta", "gpt2", "gemma3_text"])
  func `the model type decides where no class is named`(type: String) throws {
    let files = ["vocab.txt": Fixture.vocabularyText, "config.json": #"{"model_type": "\#(type)"}"#]
    #expect(throws: RetortError.self) { try Fixture.tokenizer(files) }
    let named = files.merging(["tokenizer_config.json": #"{"tokenizer_class": "BertTokenizer"}"#]) { $1 }
    #expect(try Fixture.tokenizer(named).plainIDs("the") == Fixture.ids("the"))
  }

  @Test(arguments: [
    "BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizerFast", "MobileBertTokenizer", "ConvBertTokenizer",
    "DPRReaderTokenizer", "LayoutLMTokenizer", "LxmertTokenizer", "PreTrainedTokenizerFast",
  ])
  func `BERT's class has many names, and reads what no class of its own claims`(name: String) throws {
    let settings = #"{"tokenizer_class": "\#(name)"}"#
    let tokenizer = try Fixture.tokenizer(["vocab.txt": Fixture.vocabularyText, "tokenizer_config.json": settings])
    #expect(tokenizer.encode("the").ids == Fixture.ids("[CLS]", "the", "[SEP]"))
    #expect(try Fixture.tokenizer(["vocab.txt": Fixture.vocabularyText]).digest == tokenizer.digest)
  }

  @Test func `copies beside a model of another type name the class that reads them`() throws {
    func written(_ files: [String: String], _ type: String) throws -> String? {
      let all = files.merging(["vocab.txt": mpnet + Fixture.vocabularyText]) { $1 }
      return try Fixture.withDirectory(all) { directory in
        guard let data = try tokenizerConfiguration(copiedFrom: directory, besideModelType: type, modelClass: nil) else {
          return nil
        }
        // The copies are read alike.
        let copies = ["tokenizer_config.json": String(decoding: data, as: UTF8.self)]
          .merging(["vocab.txt": mpnet + Fixture.vocabularyText, "config.json": #"{"model_type": "\#(type)"}"#]) { $1 }
        let original = try #require(try loadTokenizer(fromModelDirectory: directory))
        #expect(try Fixture.tokenizer(copies).digest == original.digest)
        return try JSON(parsing: data)["tokenizer_class"]?.string
      }
    }
    for type in ["bert", "distilbert", "bert_hash", "llama", "modernbert"] { #expect(try written([:], type) == nil) }
    for type in ["mpnet", "roberta", "gpt2", "qwen2", "albert"] { #expect(try written([:], type) == "BertTokenizer") }
    let other = ["config.json": #"{"model_type": "mpnet"}"#]
    for type in ["bert", "modernbert", "llama"] { #expect(try written(other, type) == "MPNetTokenizer") }
    #expect(try written(other, "mpnet") == nil)
  }
}
