import Platform
import Testing

@testable import Tokenizers

@Suite struct AddedTokensTests {
  /// A tokenizer with [CLS] and the like, and `tokens`.
  private func tokenizer(_ tokens: [JSON], lowercase: Bool = true) throws -> any Tokenizer {
    let base = Fixture.sections()["added_tokens"]?.array ?? []
    return try Fixture.tokenizer(lowercase: lowercase, replacing: ["added_tokens": .array(base + tokens)])
  }

  @Test func `special tokens are found in raw text, with their case`() throws {
    let tokenizer = try Fixture.tokenizer()
    #expect(tokenizer.plainIDs("a[MASK]b") == Fixture.ids("a", "[MASK]", "b"))
    #expect(tokenizer.plainIDs("[mask]") == Fixture.ids("[UNK]", "[UNK]", "[UNK]"))
  }

  @Test func `an added token beyond the vocabulary enlarges it`() throws {
    let tokenizer = try tokenizer([Fixture.addedToken("<new>", 34)])
    #expect(tokenizer.vocabularySize == 35)
    #expect(tokenizer.plainIDs("a <new>b") == [Fixture.id("a"), 34, Fixture.id("b")])
    #expect(tokenizer.decode([34, Fixture.id("a")], skipSpecialTokens: false) == "<new> a")
    #expect(tokenizer.decode([34, Fixture.id("a")], skipSpecialTokens: true) == "a")
    #expect(tokenizer.tokenID("<new>") == 34)
  }

  @Test func `an id beyond a gap is the next free one, as the library counts`() throws {
    let tokenizer = try tokenizer([Fixture.addedToken("<new>", 50), Fixture.addedToken("<more>", 90)])
    #expect(tokenizer.plainIDs("<more><new>") == [35, 34])
    #expect(tokenizer.vocabularySize == 36)
  }

  @Test func `the longest of several tokens at one place wins`() throws {
    let tokenizer = try tokenizer([Fixture.addedToken("<n", 34), Fixture.addedToken("<new>", 35)])
    #expect(tokenizer.plainIDs("<new><n") == [35, 34])
  }

  @Test func `a single-word token does not match inside a word`() throws {
    let tokenizer = try tokenizer([Fixture.addedToken("run", Int(Fixture.id("run")), singleWord: true)])
    #expect(tokenizer.plainIDs("a run.") == Fixture.ids("a", "run", "."))
    #expect(tokenizer.plainIDs("runs") == Fixture.ids("run", "##s"))
    #expect(tokenizer.plainIDs("_run") == Fixture.ids("[UNK]", "run"))
    #expect(tokenizer.plainIDs("érun") == Fixture.ids("[UNK]"))
  }

  @Test func `stripping tokens take the white space beside them`() {
    func split(_ token: AddedToken, _ text: String) -> [Segment] {
      var text = text
      let matcher = AddedTokenMatcher([(Array(token.content.utf8), token)])
      return text.withUTF8 { matcher.split($0) }
    }
    let left = AddedToken(id: 7, content: "<m>", stripsLeft: true)
    #expect(split(left, "a \u{a0}<m> b") == [.text(0..<1), .token(7, at: 1..<7), .text(7..<9)])
    #expect(split(left, " <m>") == [.token(7, at: 0..<4)])
    let right = AddedToken(id: 7, content: "<m>", stripsRight: true)
    #expect(
      split(right, "a <m> \n<m>b") == [.text(0..<2), .token(7, at: 2..<7), .token(7, at: 7..<10), .text(10..<11)])
    let both = AddedToken(id: 7, content: "<m>", stripsLeft: true, stripsRight: true)
    #expect(split(both, "<m>  <m>") == [.token(7, at: 0..<5), .token(7, at: 5..<8)])
  }

  @Test func `a normalised token is found in normalised text by its normal form`() throws {
    let tokenizer = try tokenizer([Fixture.addedToken("Café-B", 34, special: false, normalized: true)])
    #expect(tokenizer.plainIDs("a CAFE\u{301}-b") == [Fixture.id("a"), 34])
    let cased = try self.tokenizer(
      [Fixture.addedToken("The-B", 34, special: false, normalized: false)], lowercase: false)
    #expect(cased.plainIDs("The-B") == [34])
    #expect(cased.plainIDs("the-b") == Fixture.ids("the", "-", "b"))
  }
}

@Suite struct ByteTrieTests {
  private func find(_ trie: ByteTrie, _ text: String, from start: Int = 0) -> (value: Int32, end: Int)? {
    var text = text
    return text.withUTF8 { trie.longestPrefix(of: $0, from: start, node: ByteTrie.root) }
  }

  @Test func `the longest stored prefix is found, through many growths of the table`() {
    var trie = ByteTrie()
    var strings: [String] = []
    var state: UInt64 = 1
    for _ in 0..<2000 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      strings.append(String(state >> 40, radix: 5))
    }
    strings = Array(Set(strings)).sorted()
    for (index, string) in strings.enumerated() {
      var string = string
      #expect(string.withUTF8 { trie.insert($0, value: Int32(index)) })
      #expect(!string.withUTF8 { trie.insert($0, value: 0) })
    }
    for text in strings.map({ $0 + "04321" }) {
      let expected = strings.filter { text.hasPrefix($0) }.max { $0.utf8.count < $1.utf8.count }
      let found = find(trie, text)
      #expect(found?.end == expected?.utf8.count)
      #expect(found.map { strings[Int($0.value)] } == expected)
    }
  }

  @Test func `nothing is found in text that starts with no stored string`() {
    var trie = ByteTrie()
    #expect(find(trie, "abc") == nil)
    var text = "abcd"
    #expect(text.withUTF8 { trie.insert($0, value: 1) })
    #expect(find(trie, "abc") == nil)
    #expect(find(trie, "xabcd", from: 1)?.value == 1)
  }
}
