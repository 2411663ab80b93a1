import Platform
import TestSupport
import Testing

@testable import Tokenizers

/// Byte pair encoding on small vocabularies of our own.
@Suite struct BytePairTests {
  static let bytes = (0..<256).map { String(ByteAlphabet.scalars[$0]) }

  /// A byte-level tokenizer.json: all bytes, then the results of the merges in order.
  static func byteLevel(
    _ merges: [String], ignoresMerges: Bool = false, pattern: String? = nil, prependsSpace: Bool = false
  ) -> JSON {
    let pairs = merges.map { $0.split(separator: " ").map(String.init) }
    let tokens = bytes + pairs.map { $0.joined() } + ["<|end|>"]
    let whole: JSON = [
      "type": "ByteLevel", "add_prefix_space": .bool(prependsSpace), "use_regex": .bool(pattern == nil),
    ]
    let split: (String) -> JSON = {
      ["type": "Split", "pattern": ["Regex": .string($0)], "behavior": "Isolated", "invert": false]
    }
    return [
      "added_tokens": [Fixture.addedToken("<|end|>", tokens.count - 1)],
      "pre_tokenizer": pattern.map { ["type": "Sequence", "pretokenizers": [split($0), whole]] } ?? whole,
      "decoder": ["type": "ByteLevel"],
      "model": [
        "type": "BPE", "ignore_merges": .bool(ignoresMerges),
        "vocab": .object(Dictionary(uniqueKeysWithValues: tokens.enumerated().map { ($1, .int($0)) })),
        "merges": .array(merges.map { .string($0) }),
      ],
    ]
  }

  static func tokenizer(_ json: JSON) throws -> any Tokenizer { try Fixture.tokenizer(["tokenizer.json": json.text()]) }

  /// A SentencePiece-style tokenizer.json: `<unk>`, byte tokens, letters, then the results of the merges.
  static func metaspace(
    _ merges: [[String]], letters: [String], byteFallback: Bool = true, fuses: Bool = true, pre: JSON = .null
  ) -> JSON {
    let fallback = byteFallback ? (0..<256).map { BPEModel.fallbackToken(UInt8($0)) } : []
    let tokens = ["<unk>", "<s>"] + fallback + letters + merges.map { $0.joined() }
    let usual: JSON = [
      "type": "Sequence",
      "normalizers": [
        ["type": "Prepend", "prepend": "▁"], ["type": "Replace", "pattern": ["String": " "], "content": "▁"],
      ],
    ]
    return [
      "added_tokens": [Fixture.addedToken("<unk>", 0), Fixture.addedToken("<s>", 1)],
      "normalizer": pre == .null ? usual : .null, "pre_tokenizer": pre,
      "decoder": [
        "type": "Sequence",
        "decoders": [
          ["type": "Replace", "pattern": ["String": "▁"], "content": " "], ["type": "ByteFallback"],
          ["type": "Fuse"], ["type": "Strip", "content": " ", "start": 1, "stop": 0],
        ],
      ],
      "model": [
        "type": "BPE", "unk_token": "<unk>", "fuse_unk": .bool(fuses), "byte_fallback": .bool(byteFallback),
        "vocab": .object(Dictionary(uniqueKeysWithValues: tokens.enumerated().map { ($1, .int($0)) })),
        "merges": .array(merges.map { .array($0.map { .string($0) }) }),
      ],
    ]
  }

  @Test func `the earliest merge goes first, of equals the leftmost`() throws {
    let tokenizer = try BytePairTests.tokenizer(BytePairTests.byteLevel(["b c", "a b", "a bc", "a a"]))
    func tokens(_ text: String) -> [String] {
      tokenizer.plainIDs(text).map { tokenizer.decode([$0], skipSpecialTokens: false) }
    }
    #expect(tokens("abc") == ["abc"])
    #expect(tokens("ab") == ["ab"])
    #expect(tokens("aaa") == ["aa", "a"])
    #expect(tokens("aabcab") == ["a", "abc", "ab"])
    #expect(tokens("aaab") == ["aa", "ab"])
  }

  @Test func `long words are merged as short ones are`() throws {
    var random = SystemRandomNumberGenerator()
    let merges = ["a b", "b a", "ab ab", "a a", "aa ba", "abab a", "b b", "bb aa"]
    let tokenizer = try BytePairTests.tokenizer(BytePairTests.byteLevel(merges))
    var table = MergeTable(capacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      let parts = merge.split(separator: " ").map { tokenizer.tokenID(String($0))! }
      table.insert(parts[0], parts[1], rank: rank, token: tokenizer.tokenID(merge.filter { $0 != " " })!)
    }
    for _ in 0..<300 {
      let start = (0..<Int.random(in: 1...120, using: &random)).map { _ in
        tokenizer.tokenID(Bool.random(using: &random) ? "a" : "b")!
      }
      var (short, long) = (start, start)
      var room = [UInt64](repeating: 0, count: start.count)
      let count = table.withLookup { lookup in
        lookup.mergeLong(&long)
        return lookup.mergeShort(&short, &room, count: short.count)
      }
      #expect(Array(short.prefix(count)) == long)
    }
  }

  @Test func `every text comes back from its bytes`() throws {
    let tokenizer = try BytePairTests.tokenizer(BytePairTests.byteLevel(["Ġ t", "h e", "Ġt he"]))
    for text in ["", " the the", "naïve 東京 🙂\n\t\0 end", "é", "<|end|> the"] {
      #expect(tokenizer.decode(tokenizer.plainIDs(text), skipSpecialTokens: false) == text)
    }
    #expect(tokenizer.plainIDs(" the") == [258])
    // Half of a character is no text.
    #expect(tokenizer.decode([0xc3], skipSpecialTokens: false) == "\u{fffd}")
  }

  @Test func `a whole token needs no merges where the file says so`() throws {
    let merges = ["a b", "ab c"]
    let usual = BytePairTests.byteLevel(merges)
    // Without its first merge, "abc" can be reached as a whole only.
    var model = try #require(usual["model"]?.object)
    model["merges"] = []
    func ids(_ ignores: Bool) throws -> [Int32] {
      model["ignore_merges"] = .bool(ignores)
      var file = try #require(usual.object)
      file["model"] = .object(model)
      return try BytePairTests.tokenizer(.object(file)).plainIDs("abc")
    }
    #expect(try ids(false) == [97, 98, 99])
    #expect(try ids(true) == [257])
  }

  @Test func `words of GPT-2's pattern keep one space, and the last of several`() throws {
    #expect(words("It's  5km,\n\nok", .gpt2) == ["It", "'s", " ", " 5", "km", ",", "\n", "\n", "ok"])
    #expect(words("we don't", .gpt2) == ["we", " don", "'t"])
    #expect(words("A'S   ", .gpt2) == ["A", "'", "S", "   "])
    #expect(words(" 東京 ½² \u{a0}x", .gpt2) == [" 東京", " ½²", " ", "\u{a0}", "x"])
  }

  @Test func `words of Llama 3's pattern have three digits, any leading sign and line ends behind`() throws {
    #expect(words("It'S 12345 (ok)\n\n x", .llama3) == ["It", "'S", " ", "123", "45", " (", "ok", ")\n\n", " x"])
    #expect(words("a \n \n  b\t\tc", .llama3) == ["a", " \n \n", " ", " b", "\t", "\tc"])
    #expect(words("12 3", .qwen2) == ["1", "2", " ", "3"])
    #expect(words("'ſx'LL've", .llama3) == ["'ſ", "x", "'LL", "'ve"])
  }

  private func words(_ text: String, _ pattern: SplitPattern) -> [String] {
    var text = text
    return text.withUTF8 { bytes in
      var ranges: [Range<Int>] = []
      pattern.split(bytes, into: &ranges)
      return ranges.map { String(decoding: bytes[$0], as: UTF8.self) }
    }
  }

  @Test func `spaces become marks and unknown characters their bytes`() throws {
    let json = BytePairTests.metaspace([["▁", "a"], ["a", "b"]], letters: ["▁", "a", "b"])
    let tokenizer = try BytePairTests.tokenizer(json)
    // 256 byte tokens behind <unk> and <s>, then ▁ (258), a, b, ▁a (261), ab.
    #expect(tokenizer.plainIDs("a ab") == [261, 261, 260])
    #expect(tokenizer.plainIDs("é") == [258, 197, 171])
    for text in ["a ab", "é  b", " a", "🙂"] {
      #expect(tokenizer.decode(tokenizer.plainIDs(text), skipSpecialTokens: true) == text)
    }
    #expect(tokenizer.decode([197, 259], skipSpecialTokens: true) == "\u{fffd}a")
    #expect(tokenizer.plainIDs("") == [])
  }

  @Test func `without bytes to fall back on, unknown characters are one token or one each`() throws {
    func ids(_ fuses: Bool) throws -> [Int32] {
      let json = BytePairTests.metaspace([], letters: ["▁", "a"], byteFallback: false, fuses: fuses)
      return try BytePairTests.tokenizer(json).plainIDs("xyaz")
    }
    #expect(try ids(true) == [2, 0, 3, 0])
    #expect(try ids(false) == [2, 0, 0, 3, 0])
  }

  @Test func `an unknown character stands behind the bytes of those that follow it, as in the library`() throws {
    // One byte token is missing, so that characters with it are unknown and others are not.
    let whole = BytePairTests.metaspace([], letters: ["▁", "a"]).text()
    let json = whole.replacingOccurrences(of: "<0xE6>", with: "<none>")
    let tokenizer = try BytePairTests.tokenizer(try JSON(parsing: json))
    let bytes = "é".utf8.map { Int32($0) + 2 }
    #expect(tokenizer.plainIDs("日é日éa") == [258] + bytes + bytes + [0, 259])
    #expect(tokenizer.plainIDs("é日") == [258] + bytes + [0])
  }

  @Test func `text is cut at marks only where no merge reaches across one`() throws {
    let letters = ["▁", "a", "b"]
    let across = try BytePairTests.tokenizer(BytePairTests.metaspace([["a", "▁"], ["a▁", "b"]], letters: letters))
    #expect(across.plainIDs("a b") == [258, 262])
    let within = try BytePairTests.tokenizer(BytePairTests.metaspace([["▁", "▁"], ["▁▁", "b"]], letters: letters))
    #expect(within.plainIDs("a  b") == [258, 259, 262])
  }

  @Test func `a metaspace pre-tokenizer marks every part, the first one, or none`() throws {
    func ids(_ scheme: String, _ text: String) throws -> [Int32] {
      let pre: JSON = ["type": "Metaspace", "replacement": "▁", "prepend_scheme": .string(scheme), "split": true]
      return try BytePairTests.tokenizer(BytePairTests.metaspace([], letters: ["▁", "a"], pre: pre)).plainIDs(text)
    }
    #expect(try ids("always", "a<s>a a") == [258, 259, 1, 258, 259, 258, 259])
    #expect(try ids("first", "a<s>a a") == [258, 259, 1, 259, 258, 259])
    #expect(try ids("never", "a<s>a a") == [259, 1, 259, 258, 259])
    #expect(try ids("first", " a") == [258, 259])
  }

  @Test func `a space is put before text that has none, where the file says so`() throws {
    let tokenizer = try BytePairTests.tokenizer(BytePairTests.byteLevel(["Ġ a"], prependsSpace: true))
    #expect(tokenizer.plainIDs("a") == [256] && tokenizer.plainIDs(" a") == [256])
  }

  @Test func `what cannot be followed exactly is refused by name`() throws {
    func refusal(_ change: (inout [String: JSON]) throws -> Void) throws -> String {
      var file = try #require(BytePairTests.byteLevel(["a b"]).object)
      try change(&file)
      let error = try #require(throws: RetortError.self) { try BytePairTests.tokenizer(.object(file)) }
      #expect(error.kind == .input && error.remedy?.isEmpty == false && error.location != nil)
      return "\(error.what) at \(error.location ?? "")"
    }
    func model(_ key: String, _ value: JSON) throws -> String {
      try refusal { file in
        var model = try #require(file["model"]?.object)
        model[key] = value
        file["model"] = .object(model)
      }
    }
    #expect(try model("merges", ["a zz"]).contains("merge 0 joins \"a\" and \"zz\""))
    #expect(try model("merges", ["a"]).contains("model.merges[0]"))
    #expect(try model("merges", 3).contains("is not a list of merges"))
    #expect(try model("dropout", 0.1).contains("0.1"))
    #expect(try model("end_of_word_suffix", "</w>").contains("</w>"))
    #expect(try refusal { $0["pre_tokenizer"] = ["type": "UnicodeScripts"] }.contains("UnicodeScripts"))
    let odd = BytePairTests.byteLevel(["a b"], pattern: "(a|b)+")
    #expect(try refusal { $0 = try #require(odd.object) }.contains("(a|b)+"))
    let replace: JSON = ["type": "Replace", "pattern": ["Regex": "x*"], "content": ""]
    #expect(try refusal { $0["normalizer"] = replace }.contains("x*"))
    let behind: JSON = ["type": "Sequence", "pretokenizers": [["type": "ByteLevel"], ["type": "Digits"]]]
    #expect(try refusal { $0["pre_tokenizer"] = behind }.contains("Digits after ByteLevel"))
  }

  @Test func `whatever changes ids changes the digest`() throws {
    let files = [
      BytePairTests.byteLevel(["a b", "b c"]), BytePairTests.byteLevel(["b c", "a b"]),
      BytePairTests.byteLevel(["a b", "b c"], ignoresMerges: true),
      BytePairTests.byteLevel(["a b", "b c"], prependsSpace: true),
    ]
    #expect(Set(try files.map { try BytePairTests.tokenizer($0).digest }).count == files.count)
  }
}
