import Foundation
import Testing

@testable import Tokenizers

@Suite struct NormalizerTests {
  private func normalize(_ text: String, _ normalizer: BERTNormalizer = BERTNormalizer()) -> String {
    var output: [UInt8] = []
    var text = text
    text.withUTF8 { normalizer.normalize($0, into: &output) }
    return String(decoding: output, as: UTF8.self)
  }

  /// Equal `String`s may differ in their bytes, and bytes are what the vocabulary knows.
  private func expect(_ text: String, becomes expected: String, _ normalizer: BERTNormalizer = BERTNormalizer()) {
    let result = normalize(text, normalizer)
    #expect(Array(result.unicodeScalars) == Array(expected.unicodeScalars), "\(text.debugDescription)")
  }

  @Test func `control characters go and white space becomes spaces`() {
    expect("a\u{0}b\u{7f}c\u{fffd}d\u{200b}e\u{ad}f\u{85}g\u{e000}h", becomes: "abcdefgh")
    expect("a\tb\nc\rd\u{a0}e\u{3000}f\u{2028}g", becomes: "a b c d e f g")
    expect("a\u{0b}b", becomes: "ab")
    expect("A\u{0}\t", becomes: "a\u{0}\t", BERTNormalizer(cleansText: false))
  }

  @Test func `Chinese characters stand alone, kana and Hangul do not`() {
    expect("a東京b", becomes: "a 東  京 b")
    expect("テスト", becomes: "テスト")
    expect("a東", becomes: "a東", BERTNormalizer(separatesChinese: false))
    expect("\u{f900}", becomes: " \u{8c48} ")
    expect("가", becomes: "\u{1100}\u{1161}")
  }

  @Test func `accents are stripped where text is lowercased, unless said otherwise`() {
    expect("Café ZÜRICH", becomes: "cafe zurich")
    expect("Cafe\u{301}", becomes: "cafe")
    expect("Café", becomes: "Café", BERTNormalizer(lowercases: false))
    expect("Café", becomes: "café", BERTNormalizer(stripsAccents: false))
    expect("Café", becomes: "Cafe", BERTNormalizer(stripsAccents: true, lowercases: false))
  }

  @Test func `lower case is taken scalar by scalar`() {
    expect("ΣΊΣΥΦΟΣ", becomes: "σισυφοσ")
    expect("İ", becomes: "i\u{307}", BERTNormalizer(stripsAccents: false))
    expect("İ", becomes: "i")
    expect("straße ﬁ Ⅷ", becomes: "straße ﬁ ⅷ")
  }

  @Test func `removed characters do not keep the marks around them apart`() {
    // The two spacing marks trade places only when they come to stand beside each other.
    expect("e\u{1d165}\u{0}\u{302e}x", becomes: "e\u{1d165}\u{302e}x")
    expect("e\u{302e}\u{0}\u{1d165}x", becomes: "e\u{1d165}\u{302e}x")
  }

  @Test func `marks younger than the reference's tables stay`() {
    expect("a\u{8ca}b", becomes: "a\u{8ca}b")
    expect("a\u{1734}b", becomes: "ab")
    expect("a\u{1885}b", becomes: "a\u{1885}b")
  }

  @Test func `scalars that skip decomposition have none and are no marks`() {
    let inert = (UInt32(0)...0x10ffff).compactMap(Unicode.Scalar.init).filter(isInertUnderDecomposition)
    #expect(inert.allSatisfy { $0.properties.canonicalCombiningClass == .notReordered && !isStrippedMark($0) })
    let text = String(String.UnicodeScalarView(inert))
    #expect(Array(text.decomposedStringWithCanonicalMapping.unicodeScalars) == inert)
  }

  @Test func `the quick tests for space and case agree with Unicode's properties`() {
    var wrong: [UInt32] = []
    for value in UInt32(0)...0x10ffff {
      guard let scalar = Unicode.Scalar(value) else { continue }
      if isWhiteSpace(scalar) != scalar.properties.isWhitespace { wrong.append(value) }
      if isCaseless(scalar) && scalar.properties.changesWhenLowercased { wrong.append(value) }
    }
    #expect(wrong.isEmpty)
  }
}

@Suite struct PreTokenizerTests {
  private func words(_ text: String) -> [String] {
    var ranges: [Range<Int>] = []
    var text = text
    return text.withUTF8 { bytes in
      BERTPreTokenizer().split(bytes, into: &ranges)
      return ranges.map { String(decoding: bytes[$0], as: UTF8.self) }
    }
  }

  @Test func `words are split at white space and around punctuation`() {
    #expect(words("  don't stop: now!  ") == ["don", "'", "t", "stop", ":", "now", "!"])
    #expect(words("$5 a+b ~x^") == ["$", "5", "a", "+", "b", "~", "x", "^"])
    #expect(words("").isEmpty)
    #expect(words(" \u{a0}\u{3000}").isEmpty)
  }

  @Test func `Unicode punctuation splits and other symbols do not`() {
    #expect(words("a—b…c") == ["a", "—", "b", "…", "c"])
    #expect(words("5€ 🙂x") == ["5€", "🙂x"])
    // Punctuation since Unicode 10, and a sign that was punctuation until Unicode 11.
    #expect(words("a\u{9fd}b\u{166d}c") == ["a\u{9fd}b", "\u{166d}", "c"])
  }
}
