import Platform
import Testing

@testable import Tokenizers

@Suite struct WordPieceTests {
  @Test func `a word is cut into the longest pieces from its start`() throws {
    let tokenizer = try Fixture.tokenizer()
    #expect(tokenizer.plainIDs("running unhappiness") == Fixture.ids("run", "##ning", "un", "##happi", "##ness"))
  }

  @Test func `a word with one part outside the vocabulary is unknown as a whole`() throws {
    let tokenizer = try Fixture.tokenizer()
    #expect(tokenizer.plainIDs("the runningq river") == Fixture.ids("the", "[UNK]", "river"))
    #expect(tokenizer.plainIDs("q") == Fixture.ids("[UNK]"))
  }

  @Test func `a word of more than 100 characters is unknown, one of 100 is not`() throws {
    let tokenizer = try Fixture.tokenizer()
    #expect(tokenizer.plainIDs(String(repeating: "a", count: 101)) == Fixture.ids("[UNK]"))
    #expect(tokenizer.plainIDs(String(repeating: "a", count: 100)).count == 100)
    #expect(tokenizer.plainIDs(String(repeating: "σ", count: 100)).count == 100)
  }

  @Test func `special tokens surround one text, and two texts have segments 0 and 1`() throws {
    let tokenizer = try Fixture.tokenizer()
    #expect(tokenizer.encode("the river").ids == Fixture.ids("[CLS]", "the", "river", "[SEP]"))
    let pair = tokenizer.encode("the river", pair: "runs", maxLength: nil, addSpecialTokens: true)
    #expect(pair.ids == Fixture.ids("[CLS]", "the", "river", "[SEP]", "run", "##s", "[SEP]"))
    #expect(pair.typeIDs == [0, 0, 0, 0, 1, 1, 1])
    let bare = tokenizer.encode("the river", pair: "runs", maxLength: nil, addSpecialTokens: false)
    #expect(bare.ids == Fixture.ids("the", "river", "run", "##s"))
    #expect(bare.typeIDs == [0, 0, 1, 1])
  }

  @Test func `an empty text is special tokens alone, and an empty second text is a pair`() throws {
    let tokenizer = try Fixture.tokenizer()
    #expect(tokenizer.encode("").ids == Fixture.ids("[CLS]", "[SEP]"))
    #expect(tokenizer.encode(" \t\n").ids == Fixture.ids("[CLS]", "[SEP]"))
    let pair = tokenizer.encode("a", pair: "", maxLength: nil, addSpecialTokens: true)
    #expect(pair.ids == Fixture.ids("[CLS]", "a", "[SEP]", "[SEP]"))
    #expect(pair.typeIDs == [0, 0, 0, 1])
  }

  @Test func `BertProcessing gives what the BERT template gives`() throws {
    let processor: JSON = ["type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]]
    let template = try Fixture.tokenizer()
    let bert = try Fixture.tokenizer(replacing: ["post_processor": processor])
    for pair in [nil, "runs"] {
      let expected = template.encode("the river", pair: pair, maxLength: 6, addSpecialTokens: true)
      #expect(bert.encode("the river", pair: pair, maxLength: 6, addSpecialTokens: true) == expected)
    }
    #expect(bert.digest == template.digest)
  }

  @Test func `without a post-processor the texts stand alone`() throws {
    let tokenizer = try Fixture.tokenizer(replacing: ["post_processor": nil])
    let pair = tokenizer.encode("a", pair: "b", maxLength: nil, addSpecialTokens: true)
    #expect(pair == Encoding(ids: Fixture.ids("a", "b"), typeIDs: [0, 1]))
  }

  @Test func `without normalizer and pre-tokenizer the whole text is one word`() throws {
    let tokenizer = try Fixture.tokenizer(replacing: ["normalizer": nil, "pre_tokenizer": nil])
    #expect(tokenizer.plainIDs("running") == Fixture.ids("run", "##ning"))
    #expect(tokenizer.plainIDs("the river") == Fixture.ids("[UNK]"))
    #expect(tokenizer.plainIDs("The") == Fixture.ids("The"))
  }

  @Test func `token ids are found by the exact bytes of a token`() throws {
    let tokenizer = try Fixture.tokenizer()
    #expect(tokenizer.tokenID("river") == Fixture.id("river"))
    #expect(tokenizer.tokenID("rive") == nil)
    #expect(tokenizer.tokenID("caf\u{e9}") == Fixture.id("café"))
    #expect(tokenizer.tokenID("cafe\u{301}") == nil)
    #expect(tokenizer.vocabularySize == Fixture.words.count)
  }
}

@Suite struct WordPieceDecodingTests {
  @Test func `pieces are joined and spaces before punctuation taken back`() throws {
    let tokenizer = try Fixture.tokenizer()
    let ids = tokenizer.encode("The river runs, don't!").ids
    #expect(tokenizer.decode(ids, skipSpecialTokens: true) == "the river runs, don ' t!")
    #expect(tokenizer.decode(ids, skipSpecialTokens: false) == "[CLS] the river runs, don ' t! [SEP]")
  }

  @Test func `ids outside the vocabulary are left out`() throws {
    let tokenizer = try Fixture.tokenizer()
    #expect(tokenizer.decode([-1, Fixture.id("river"), 100_000], skipSpecialTokens: true) == "river")
  }

  @Test func `without a decoder tokens stand with spaces between them`() throws {
    let tokenizer = try Fixture.tokenizer(replacing: ["decoder": nil])
    #expect(tokenizer.decode(Fixture.ids("run", "##s", "."), skipSpecialTokens: true) == "run ##s .")
  }

  @Test func `clean-up looks at one token at a time`() {
    let decoder = SteppedDecoder(steps: [WordPieceDecoder()])
    #expect(decoder.text(of: ["is", "n't", "it", "?"]) == "isn't it?")
    #expect(decoder.text(of: ["i", "'m"]) == "i'm")
    #expect(decoder.text(of: ["a", "'", "b"]) == "a ' b")
    #expect(SteppedDecoder(steps: [WordPieceDecoder(cleansUp: false)]).text(of: ["a", ".", "##b"]) == "a .b")
    #expect(decoder.text(of: ["##a", "##b"]) == "##ab")
  }
}

@Suite struct TruncationTests {
  @Test(arguments: [
    (2, 3, 5, 2, 3), (10, 2, 6, 4, 2), (2, 10, 6, 2, 4), (10, 10, 7, 3, 4), (10, 9, 7, 4, 3), (9, 10, 7, 3, 4),
    (3, 10, 5, 2, 3), (10, 3, 5, 3, 2), (0, 9, 4, 0, 4), (9, 0, 4, 4, 0), (5, 5, 0, 0, 0), (5, 5, 1, 0, 1),
  ])
  func `the longer text is cut first`(_ first: Int, _ second: Int, _ limit: Int, _ keptFirst: Int, _ keptSecond: Int) {
    let kept = longestFirst(first, second, limit: limit)
    #expect(kept.first == keptFirst && kept.second == keptSecond)
  }

  @Test func `the limit counts special tokens and is never exceeded`() throws {
    let tokenizer = try Fixture.tokenizer()
    #expect(tokenizer.encode("a b c a", maxLength: 4).ids == Fixture.ids("[CLS]", "a", "b", "[SEP]"))
    #expect(tokenizer.encode("a b", maxLength: 4).ids == Fixture.ids("[CLS]", "a", "b", "[SEP]"))
    #expect(
      tokenizer.encode("a b c a", pair: nil, maxLength: 3, addSpecialTokens: false).ids == Fixture.ids("a", "b", "c"))
    for limit in 0...3 {
      #expect(tokenizer.encode("a b c", maxLength: limit).ids.count == limit)
      #expect(tokenizer.encode("a b", pair: "c", maxLength: limit, addSpecialTokens: true).typeIDs.count == limit)
    }
  }

  @Test func `truncation and padding sections of the file have no effect`() throws {
    let tokenizer = try Fixture.tokenizer(replacing: [
      "truncation": ["direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0],
      "padding": ["strategy": ["Fixed": 16], "pad_id": 0],
    ])
    #expect(tokenizer.encode("a b c").ids.count == 5)
  }
}
