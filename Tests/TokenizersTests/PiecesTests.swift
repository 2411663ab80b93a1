import Platform
import Testing

@testable import Tokenizers

/// Words that a pre-tokenizer makes of a text; the expected ones are those of the Hugging Face library.
@Suite struct SplittingTests {
  private func words(_ splitter: any PreTokenizer, _ text: String, isStart: Bool = true) -> [String] {
    var text = text
    return text.withUTF8 { bytes in
      var (ranges, rewritten): ([Range<Int>], [UInt8]) = ([], [])
      let isRewritten = splitter.cut(bytes, isStart: isStart, rewritten: &rewritten, words: &ranges)
      let source = isRewritten ? rewritten : Array(bytes)
      return ranges.map { String(decoding: source[$0], as: UTF8.self) }
    }
  }

  @Test func `digits of every script stand alone or together`() {
    #expect(words(CharacterSplitter(.digits, .isolated), "a12 ٣½") == ["a", "1", "2", " ", "٣", "½"])
    #expect(words(CharacterSplitter(.digits, .contiguous), "a12 ٣½") == ["a", "12", " ", "٣½"])
  }

  @Test(arguments: [
    (DelimiterBehavior.isolated, ["a", "-", "-", "b", "-"]), (.removed, ["a", "b"]),
    (.contiguous, ["a", "--", "b", "-"]),
    (.mergedWithPrevious, ["a-", "-", "b-"]), (.mergedWithNext, ["a", "-", "-b", "-"]),
  ])
  func `each behavior treats delimiters in its way`(_ behavior: DelimiterBehavior, _ expected: [String]) {
    #expect(words(CharacterSplitter(.character("-"), behavior), "a--b-") == expected)
    let pattern = PatternSplitter(pattern: TextPattern(text: "-"), behavior: behavior, invert: false)
    #expect(words(pattern, "a--b-") == expected)
  }

  @Test func `white space splits, and words part from punctuation`() {
    #expect(words(CharacterSplitter(.whiteSpace, .removed), " a,b\u{3000}c ") == ["a,b", "c"])
    #expect(words(WordPunctuationSplitter(), "don't  a_b!?") == ["don", "'", "t", "a_b", "!?"])
    #expect(words(CharacterSplitter(.punctuation, .isolated), "a,b€¿") == ["a", ",", "b€", "¿"])
  }

  @Test func `a sequence applies each part to the words of the one before`() {
    let mark = MetaspacePreTokenizer(mark: MetaspaceMark.bytes, prepend: .first, splits: true)
    let parts: [any PreTokenizer] = [CharacterSplitter(.whiteSpace, .removed), mark]
    #expect(words(PreTokenizerSequence(parts: parts), "ab cd") == ["▁ab", "cd"])
    #expect(words(PreTokenizerSequence(parts: parts), " ab cd") == ["ab", "cd"])
    let bytes: [any PreTokenizer] = [
      CharacterSplitter(.digits, .isolated), ByteLevelPreTokenizer(pattern: .gpt2, prependsSpace: false),
    ]
    #expect(words(PreTokenizerSequence(parts: bytes), "at 10:45") == ["at", " ", "1", "0", ":", "4", "5"])
  }

  @Test(arguments: ["\\s+", " {2,}", "[0-9]+", "[^a-z]", "\\p{N}{1,3}", "\\d", "abc", "\\n", "\\.", "[\\s.]+"])
  func `runs of one class are read`(_ regex: String) { #expect(TextPattern(regex: regex) != nil) }

  @Test func `lists of texts and the edges of a text are found as the library finds them`() throws {
    func matches(_ regex: String, _ text: String) throws -> [Int] {
      let pattern = try #require(TextPattern(regex: regex))
      return Array(text.utf8).withUnsafeBufferPointer { text in text.indices.map { pattern.matchEnd(text, $0) - $0 } }
    }
    #expect(try matches(#"\[A\]|b|bc"#, "[A]bc") == [3, 0, 0, 1, 0])
    #expect(try matches(#"\A▁"#, "▁▁") == [3, 0, 0, 0, 0, 0])
    #expect(try matches(#"\A +| +\z"#, "  a  b ") == [2, 0, 0, 0, 0, 0, 1])
    #expect(try matches(#"\A +| +\z"#, "  ") == [2, 0])
  }

  @Test(arguments: [
    "a|b+", "a||b", "a*", "(ab)+", "a{0,3}", "\\w+", "[a-z&&[b]]", "\\p{Han}", "a?", "", "ab+", "[", "a{2", "\\",
  ])
  func `other expressions are not`(_ regex: String) { #expect(TextPattern(regex: regex) == nil) }
}

@Suite struct NormalizerPieceTests {
  @Test func `a decoder that strips any number of characters ends with the text`() {
    let decoder = StripDecoder(content: " ", start: .max, stop: 1)
    #expect(decoder.apply(["  a  ", "   ", ""]) == ["a ", "", ""])
  }

  @Test func `one token with a large id takes no memory for ids without tokens`() {
    #expect(throws: RetortError.self) { try Vocabulary([("a", 0), ("b", Vocabulary.maximumID)], at: "here") }
  }

  private func normal(_ normalizer: any Normalizer, _ text: String) -> String {
    var (text, output): (String, [UInt8]) = (text, [])
    text.withUTF8 { normalizer.normalize($0, into: &output) }
    return String(decoding: output, as: UTF8.self)
  }

  @Test func `each piece does as the library's`() throws {
    #expect(normal(LowercaseNormalizer(), "ÀΣ İ") == "àσ i\u{307}")
    #expect(normal(StripNormalizer(left: true, right: false), "\u{a0} a ") == "a ")
    #expect(normal(StripNormalizer(left: true, right: true), " \n ") == "")
    #expect(normal(StripAccentsNormalizer(), "e\u{301}\u{1cf2}") == "e")
    let digits = try #require(TextPattern(regex: "[0-9]+"))
    #expect(normal(ReplaceNormalizer(pattern: digits, replacement: [0x30]), "a12é3") == "a0é0")
    // U+1F16C has its compatibility form since Unicode 12, which the library's tables are older than.
    #expect(normal(UnicodeNormalizer(form: .nfkc), "\u{1f16c}ﬁ") == "\u{1f16c}fi")
  }
}

/// What the files beside tokenizer.json add; the expected ids are those of AutoTokenizer.
@Suite struct CompanionFileTests {
  private let file = JSON.object(Fixture.sections()).text()
  private let next = Int32(Fixture.words.count)

  private func tokenizer(_ config: String, _ more: [String: String] = [:]) throws -> any Tokenizer {
    try Fixture.tokenizer(
      ["tokenizer.json": file, "tokenizer_config.json": config].merging(more) { $1 })
  }

  @Test(arguments: [
    #"{"added_tokens_decoder": {"90": {"content": "[E]", "special": true}}}"#,
    #"{"additional_special_tokens": ["[E]"]}"#,
    #"{"extra_special_tokens": ["[E]"]}"#, #"{"extra_special_tokens": {"entity_token": "[E]"}}"#,
    #"{"model_specific_special_tokens": {"entity_token": "[E]"}}"#,
    #"{"pad_token": "[E]"}"#, #"{"entity_token": "[E]"}"#, #"{"tokenizer_class": "BertTokenizer", "bos_token": "[E]"}"#,
    #"{"tokenizer_class": "PreTrainedTokenizerFast", "mask_token": {"content": "[E]"}}"#,
  ])
  func `a token that only tokenizer_config.json knows is one token`(_ config: String) throws {
    #expect(try tokenizer(config).plainIDs("a [E]b") == [Fixture.id("a"), next, Fixture.id("b")])
  }

  @Test func `added_tokens.json and the map count where the configuration lists no tokens`() throws {
    let more = ["added_tokens.json": #"{"[E]": 34}"#, "special_tokens_map.json": #"{"pad_token": "[P]"}"#]
    #expect(try tokenizer("{}", more).plainIDs("[E][P]") == [next, next + 1])
    let complete = try tokenizer(#"{"added_tokens_decoder": {}}"#, more)
    #expect(complete.plainIDs("[E]").count == 3 && complete.tokenID("[P]") == nil)
  }

  @Test func `special tokens in a text are cut up where the configuration asks for it`() throws {
    let split = try tokenizer(#"{"split_special_tokens": true}"#)
    #expect(split.encode("a [MASK]").ids.first == Fixture.id("[CLS]"))
    #expect(!split.plainIDs("a [MASK]").contains(4))
    #expect(try split.digest != tokenizer("{}").digest)
  }

  @Test func `BERT's class takes the tokens around a text from the configuration, and the unknown one`() throws {
    let bert = #""tokenizer_class": "BertTokenizer""#
    func ids(_ keys: String, file: String? = nil) throws -> [Int32] {
      let files = ["tokenizer.json": file ?? self.file, "tokenizer_config.json": "{\(bert)\(keys)}"]
      return try Fixture.tokenizer(files).encode("a qqq").ids
    }
    #expect(try ids(#", "cls_token": "[MASK]""#) == Fixture.ids("[MASK]", "a", "[UNK]", "[SEP]"))
    #expect(try ids(#", "unk_token": "[MASK]""#) == Fixture.ids("[CLS]", "a", "[MASK]", "[SEP]"))
    #expect(try ids(#", "cls_token": "[B]", "sep_token": "[E]""#) == [next + 1, Fixture.id("a"), 1, next])
    var sections = Fixture.sections()
    sections["post_processor"] = nil
    let without = JSON.object(sections).text()
    #expect(try ids("", file: without) == Fixture.ids("[CLS]", "a", "[UNK]", "[SEP]"))
    let generic = #"{"tokenizer_class": "TokenizersBackend", "cls_token": "[MASK]"}"#
    #expect(try tokenizer(generic).encode("a").ids.first == Fixture.id("[CLS]"))
  }

  @Test func `where AutoTokenizer would make other ids, that is said`() throws {
    func remarks(_ config: String, _ changes: [String: JSON] = [:]) throws -> [String] {
      let sections = Fixture.sections().merging(changes) { $1 }
      let files = ["tokenizer.json": JSON.object(sections).text(), "tokenizer_config.json": config]
      return try Fixture.tokenizer(files).remarks
    }
    let bert = #"{"tokenizer_class": "BertTokenizer"}"#
    #expect(try remarks(bert).isEmpty)
    let cut: JSON = ["type": "WhitespaceSplit"]
    #expect(try remarks(bert, ["pre_tokenizer": cut]).first?.contains("follows this file's pre_tokenizer;") == true)
    #expect(try remarks(#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#, ["pre_tokenizer": cut]).isEmpty)
    #expect(try remarks(#"{"tokenizer_class": "RobertaTokenizer"}"#).first?.contains("other ids") == true)
  }

  @Test func `flags of the configuration win over those of tokenizer.json`() throws {
    let config = #"{"added_tokens_decoder": {"4": {"content": "[MASK]", "special": true, "single_word": true}}}"#
    #expect(try tokenizer(config).plainIDs("a[MASK]").first == Fixture.id("a"))
    #expect(!(try tokenizer(config).plainIDs("a[MASK]").contains(4)))
    #expect(try tokenizer(config).plainIDs("a [MASK]") == Fixture.ids("a", "[MASK]"))
  }

  @Test func `a text that is too long loses the side that the files name`() throws {
    let left = try tokenizer(#"{"truncation_side": "left"}"#)
    let ids = Fixture.ids("[CLS]", "b", "c", "[SEP]")
    #expect(left.encode("the river a b c", maxLength: 4).ids == ids)
    #expect(left.encode("the a", pair: "b c", maxLength: 5, addSpecialTokens: true).ids.contains(Fixture.id("c")))
    let section: JSON = ["direction": "Left", "max_length": 2, "strategy": "LongestFirst", "stride": 0]
    let json = try Fixture.tokenizer(replacing: ["truncation": section])
    #expect(json.encode("the river a b c", maxLength: 4).ids == ids && json.digest == left.digest)
    #expect(json.encode("the river a b c").ids.count == 7)
    #expect(throws: RetortError.self) { try tokenizer(#"{"truncation_side": "middle"}"#) }
  }

  @Test func `GPT-2's class puts a space before a text where the configuration says so`() throws {
    let file = BytePairTests.byteLevel(["Ġ a"]).text()
    func ids(_ config: String) throws -> [Int32] {
      try Fixture.tokenizer(["tokenizer.json": file, "tokenizer_config.json": config]).plainIDs("a")
    }
    #expect(try ids(#"{"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": true}"#) == [256])
    #expect(try ids(#"{"tokenizer_class": "GPT2TokenizerFast"}"#) != [256])
    #expect(try ids(#"{"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": true}"#) != [256])
  }

  @Test func `vocab.txt is read as the library reads it`() throws {
    let lines = ["[PAD]", "[UNK]\t", "[CLS] \r", "[SEP]\u{a0}", "[MASK]", "a", "b", "", "a", " c", "d"]
    let tokenizer = try Fixture.tokenizer([
      "vocab.txt": lines.joined(separator: "\n"), "tokenizer_config.json": #"{"pad_token": "<pad>"}"#,
    ])
    // Of a token on two lines the last one counts; an empty line counts as a token, so the next free id is 10.
    #expect(tokenizer.plainIDs("a b d c") == [8, 6, 10, 1])
    #expect(tokenizer.tokenID("<pad>") == 10 && tokenizer.encode("b").ids == [2, 6, 3])
  }

  @Test func `a text that brings its own first token is noticed`() throws {
    let tokenizer = try Fixture.tokenizer()
    #expect(tokenizer.leadingToken == Fixture.id("[CLS]"))
    #expect(tokenizer.repeatsLeadingToken(tokenizer.encode("[CLS] a")))
    #expect(!tokenizer.repeatsLeadingToken(tokenizer.encode("a [CLS]")))
  }

  @Test func `the segments that a template numbers are known`() throws {
    let tokenizer = try Fixture.tokenizer()
    #expect(tokenizer.largestTypeID(isPair: false) == 0 && tokenizer.largestTypeID(isPair: true) == 1)
  }
}
