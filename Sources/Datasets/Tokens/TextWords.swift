import Tokenizers

/// The words of a text, as taggers read them: stretches without white space, from which punctuation is split.
package struct TextWords: Sendable {
  /// The characters (Unicode scalars) of each word, ascending.
  package let words: [Range<Int>]
  /// The text of each word.
  package let texts: [String]

  /// Splits a text.
  package init(_ text: String) {
    var words: [Range<Int>] = []
    var texts: [String] = []
    var (start, at) = (0, 0)
    var word = ""
    func finish() {
      if !word.isEmpty {
        words.append(start..<at)
        texts.append(word)
      }
      word = ""
    }
    for scalar in text.unicodeScalars {
      if scalar.properties.isWhitespace {
        finish()
      } else if TextWords.isPunctuation(scalar) {
        finish()
        words.append(at..<at + 1)
        texts.append(String(scalar))
      } else {
        if word.isEmpty { start = at }
        word.unicodeScalars.append(scalar)
      }
      at += 1
    }
    finish()
    self.words = words
    self.texts = texts
  }

  private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation, .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol:
      true
    default: false
    }
  }

  /// The tag of each word: B for the first word that has characters of an entity, I for the others (BIO).
  func tags(of spans: [EntitySpan]) -> [String] {
    var tags = [String](repeating: TagScheme.outside, count: words.count)
    for span in spans {
      var isFirst = true
      for (place, word) in words.enumerated() where word.overlaps(span.range) {
        tags[place] = (isFirst ? "B-" : "I-") + span.label
        isFirst = false
      }
    }
    return tags
  }
}
