import Platform
import Testing

@testable import Tokenizers

/// Which characters of a text each token, or each character of a normal form, comes from.
@Suite struct AlignmentTests {
  /// The normal form and the origin of each of its characters, written as "a0-1".
  private func aligned(_ normalizer: any Normalizer, _ text: String) -> [String] {
    var text = text
    var aligned = text.withUTF8 { AlignedText($0) }
    normalizer.align(&aligned)
    let plain = Array(text.utf8).withUnsafeBufferPointer { bytes in
      var output: [UInt8] = []
      normalizer.normalize(bytes, into: &output)
      return output
    }
    #expect(aligned.bytes == plain, "\(text.debugDescription) by \(normalizer)")
    #expect(aligned.bytes.count == aligned.origins.count)
    var index = 0
    return String(decoding: aligned.bytes, as: UTF8.self).unicodeScalars.map { scalar in
      let origin = aligned.origins[index]
      index += String(scalar).utf8.count
      return "\(scalar)\(origin.lowerBound)-\(origin.upperBound)"
    }
  }

  @Test func `characters that are removed or replaced one by one keep their places`() {
    #expect(aligned(LowercaseNormalizer(), "AİB") == ["a0-1", "i1-2", "\u{307}1-2", "b2-3"])
    #expect(aligned(StripNormalizer(left: true, right: true), " \u{3000}a b\n") == ["a2-3", " 3-4", "b4-5"])
    #expect(aligned(StripAccentsNormalizer(), "\u{301}e\u{301}o") == ["e1-2", "o3-4"])
    #expect(aligned(NMTNormalizer(), "\u{1}a\tb") == ["a1-2", " 2-3", "b3-4"])
    #expect(aligned(BERTNormalizer(), "É\u{1}東\u{ad}e\u{301}") == ["e0-1", " 2-3", "東2-3", " 2-3", "e4-5"])
  }

  @Test func `what is put before a text comes from its first character, a replacement from the last one`() {
    #expect(aligned(PrependNormalizer(prefix: Array("▁x".utf8)), "ab") == ["▁0-1", "x0-1", "a0-1", "b1-2"])
    #expect(aligned(PrependNormalizer(prefix: [0x20]), "").isEmpty)
    let spaces = ReplaceNormalizer(pattern: TextPattern(run: " "), replacement: Array("<>".utf8))
    #expect(aligned(spaces, "a   b ") == ["a0-1", "<3-4", ">3-4", "b4-5", "<5-6", ">5-6"])
    #expect(aligned(ReplaceNormalizer(pattern: TextPattern(text: "é"), replacement: []), "éaé") == ["a1-2"])
    let sentencePiece = SpaceNormalizer(removesExtra: true, escapes: true, doublesFirstMark: true)
    #expect(aligned(sentencePiece, "  ▁a  b ") == ["▁2-3", "▁2-3", "a3-4", "▁5-6", "b6-7"])
    let sequence = NormalizerSequence(parts: [UnicodeNormalizer(form: .nfd), StripAccentsNormalizer(), spaces])
    #expect(aligned(sequence, "é  é") == ["e0-1", "<2-3", ">2-3", "e3-4"])
  }

  @Test func `a composed character comes from its first part, and marks that change places from where they are put`() {
    #expect(aligned(UnicodeNormalizer(form: .nfc), "ae\u{301}b\u{301}") == ["a0-1", "é1-2", "b3-4", "\u{301}4-5"])
    #expect(aligned(UnicodeNormalizer(form: .nfd), "éa") == ["e0-1", "\u{301}0-1", "a1-2"])
    #expect(aligned(UnicodeNormalizer(form: .nfkc), "ﬁ①") == ["f0-1", "i0-1", "11-2"])
    #expect(aligned(UnicodeNormalizer(form: .nfkd), "ｶﾞ") == ["カ0-1", "\u{3099}1-2"])
    #expect(aligned(UnicodeNormalizer(form: .nfc), "\u{1112}\u{1161}\u{11ab}a") == ["한0-1", "a3-4"])
    #expect(aligned(UnicodeNormalizer(form: .nfc), "\u{b290}\u{11af}") == ["늘0-1"])
    // â and a dot below: the dot moves before the circumflex, which then counts as added after it.
    #expect(aligned(UnicodeNormalizer(form: .nfd), "â\u{323}") == ["a0-1", "\u{323}1-2", "\u{302}1-2"])
  }

  @Test func `normal forms of all characters alone, between letters and before marks are those of plain text`() {
    for form in [UnicodeNormalizer.Form.nfc, .nfd, .nfkc, .nfkd] {
      let normalizer = UnicodeNormalizer(form: form)
      var wrong: [UInt32] = []
      for value in stride(from: UInt32(0x80), to: 0x1f000, by: 1) {
        guard let scalar = Unicode.Scalar(value), !(0x4e00...0x9fff).contains(value) else { continue }
        if value > 0x3400, value % 7 != 0 { continue }
        var text = String.UnicodeScalarView()
        for other in ["a", scalar, "\u{323}", "\u{301}", scalar, scalar, "b"] as [Unicode.Scalar] { text.append(other) }
        var string = String(text)
        let isEqual = string.withUTF8 { bytes in
          var plain: [UInt8] = []
          normalizer.normalize(bytes, into: &plain)
          var aligned = AlignedText(bytes)
          normalizer.align(&aligned)
          return aligned.bytes == plain
        }
        if !isEqual { wrong.append(value) }
      }
      #expect(wrong.isEmpty, "\(form): \(wrong.prefix(20).map { String($0, radix: 16) })")
    }
  }

  private func offsets(_ tokenizer: any Tokenizer, _ text: String, _ limit: Int? = nil) -> [String] {
    let encoding = tokenizer.encode(aligned: text, maxLength: limit)
    #expect(encoding.ids == tokenizer.encode(text, maxLength: limit).ids)
    #expect(encoding.typeIDs == tokenizer.encode(text, maxLength: limit).typeIDs)
    return encoding.offsets.map { "\($0.lowerBound)-\($0.upperBound)" }
  }

  @Test func `words of BERT have the places of the original text, special tokens have none`() throws {
    let tokenizer = try Fixture.tokenizer()
    #expect(
      offsets(tokenizer, "The Café, 東京 unhappiness") == [
        "0-0", "0-3", "4-8", "8-9", "10-11", "11-12", "13-15", "15-20", "20-24", "0-0",
      ])
    #expect(offsets(tokenizer, "👩‍🚀 run\u{301}s [SEP]!") == ["0-0", "0-3", "4-7", "8-9", "10-15", "15-16", "0-0"])
    #expect(offsets(tokenizer, "unhappiness", 4) == ["0-0", "0-2", "2-7", "0-0"])
    #expect(offsets(tokenizer, "unhappiness", 1) == ["0-0"] && offsets(tokenizer, "") == ["0-0", "0-0"])
    let left = try Fixture.tokenizer(replacing: ["truncation": ["direction": "Left"]])
    #expect(offsets(left, "unhappiness", 4) == ["0-0", "2-7", "7-11", "0-0"])
    let plain = tokenizer.encode(aligned: "the run", maxLength: nil, addSpecialTokens: false)
    #expect(plain.offsets == [0..<3, 4..<7])
  }

  @Test func `added tokens include the white space that they take`() throws {
    let tokens: [JSON] = [
      Fixture.addedToken("<m>", 40, left: true), Fixture.addedToken("River", 41, right: true, normalized: true),
    ]
    let tokenizer = try Fixture.tokenizer(replacing: ["added_tokens": .array(tokens), "post_processor": nil])
    #expect(offsets(tokenizer, "a  <m>b RIVER  c") == ["0-1", "1-6", "6-7", "8-15", "15-16"])
  }

  /// A byte-level tokenizer of a few tokens.
  private func bytes(_ postProcessor: JSON?, prefix: Bool = false) throws -> any Tokenizer {
    let tokens = ByteAlphabet.scalars.map(String.init) + ["Ġa", "ĠĠ", "Ã©"]
    return try Fixture.tokenizer(replacing: [
      "added_tokens": [Fixture.addedToken("<m>", 300, left: true)], "normalizer": nil,
      "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": .bool(prefix), "use_regex": true],
      "post_processor": postProcessor ?? nil,
      "model": [
        "type": "BPE", "vocab": .object(Dictionary(uniqueKeysWithValues: tokens.enumerated().map { ($1, .int($0)) })),
        "merges": [["Ġ", "a"], ["Ġ", "Ġ"], ["Ã", "©"]],
      ],
    ])
  }

  @Test func `bytes of a character have the character, and trimming leaves out spaces`() throws {
    #expect(
      offsets(try bytes(nil), "a a  東é <m>") == [
        "0-1", "1-3", "3-4", "4-5", "5-6", "5-6", "5-6", "6-7", "7-11",
      ])
    func trimming(_ keepsFirst: Bool) -> JSON {
      ["type": "ByteLevel", "trim_offsets": true, "add_prefix_space": .bool(keepsFirst), "use_regex": true]
    }
    #expect(offsets(try bytes(trimming(false)), " a a <m>") == ["1-2", "3-4", "5-8"])
    #expect(offsets(try bytes(trimming(true)), " a a <m>") == ["0-2", "3-4", "5-8"])
    #expect(offsets(try bytes(trimming(true), prefix: true), "a a") == ["0-1", "2-3"])
    #expect(offsets(try bytes(trimming(false), prefix: true), "a a") == ["1-1", "2-3"])
    #expect(offsets(try bytes(["type": "ByteLevel", "trim_offsets": false]), " a") == ["0-2"])
    let roberta: JSON = [
      "type": "RobertaProcessing", "sep": ["b", 65], "cls": ["a", 64], "trim_offsets": true, "add_prefix_space": false,
    ]
    #expect(offsets(try bytes(roberta), " a a") == ["0-0", "1-2", "3-4", "0-0"])
  }

  @Test func `byte tokens and unknown characters of a character vocabulary have their characters`() throws {
    func pairs(fallback: Bool, fuse: Bool) throws -> any Tokenizer {
      let tokens = ["<unk>", "▁", "a", "▁a", "<0xC3>", "<0xA9>"]
      return try Fixture.tokenizer(replacing: [
        "added_tokens": [], "normalizer": nil, "post_processor": nil,
        "pre_tokenizer": ["type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false],
        "model": [
          "type": "BPE", "unk_token": "<unk>", "byte_fallback": .bool(fallback), "fuse_unk": .bool(fuse),
          "vocab": .object(Dictionary(uniqueKeysWithValues: tokens.enumerated().map { ($1, .int($0)) })),
          "merges": [["▁", "a"]],
        ],
      ])
    }
    #expect(offsets(try pairs(fallback: true, fuse: true), "aé a東京") == ["0-1", "1-2", "1-2", "2-4", "4-6"])
    #expect(offsets(try pairs(fallback: false, fuse: false), "a東京") == ["0-1", "1-2", "2-3"])
    let pieces: [(String, Double)] = [("<unk>", 0), ("▁", -3), ("a", -2), ("▁a", -4), ("<0xC3>", -1), ("<0xA9>", -1)]
    for fallback in [true, false] {
      let tokenizer = try Fixture.tokenizer([
        "tokenizer.json": UnigramTests.file(pieces, byteFallback: fallback)
      ])
      let expected = fallback ? ["0-1", "1-2", "1-2", "2-4", "4-6"] : ["0-1", "1-2", "2-4", "4-6"]
      #expect(offsets(tokenizer, "aé a東京") == expected)
    }
  }
}
