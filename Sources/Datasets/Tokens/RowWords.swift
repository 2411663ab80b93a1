import Tokenizers

/// The words of a row for a tagger: given as words, or those of a text.
///
/// The words of a text are its stretches without white space, from which punctuation is split. The text is encoded as a
/// whole, as without tags; a token belongs to the first word that has characters of it. Words that are given are
/// encoded one by one.
struct RowWords: Sendable {
  /// The words.
  let texts: [String]
  /// The characters (Unicode scalars) of each word in the text; of given words, in the words joined by spaces.
  let ranges: [Range<Int>]
  /// The text; nil for given words.
  let text: String?

  /// The words of a list.
  init(words: [String]) {
    var start = 0
    ranges = words.map { word in
      let end = start + word.unicodeScalars.count
      defer { start = end + 1 }
      return start..<end
    }
    (texts, text) = (words, nil)
  }

  /// The words of a text.
  init(text: String) {
    var ranges: [Range<Int>] = []
    var texts: [String] = []
    var (start, at) = (0, 0)
    var word = ""
    func finish() {
      if !word.isEmpty {
        ranges.append(start..<at)
        texts.append(word)
      }
      word = ""
    }
    for scalar in text.unicodeScalars {
      if scalar.properties.isWhitespace {
        finish()
      } else if RowWords.isPunctuation(scalar) {
        finish()
        ranges.append(at..<at + 1)
        texts.append(String(scalar))
      } else {
        if word.isEmpty { start = at }
        word.unicodeScalars.append(scalar)
      }
      at += 1
    }
    finish()
    (self.ranges, self.texts, self.text) = (ranges, texts, text)
  }

  private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation, .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol:
      true
    default: false
    }
  }

  /// Ids, segments and the word of each token, with special tokens, at most `maxLength`.
  func encoded(by tokenizer: any Tokenizer, maxLength: Int?) -> WordEncoding {
    guard let text else { return tokenizer.encode(words: texts, maxLength: maxLength, addSpecialTokens: true) }
    let encoding = tokenizer.encode(aligned: text, maxLength: maxLength, addSpecialTokens: true)
    var word = 0
    let words = encoding.offsets.map { characters -> Int32 in
      if characters.isEmpty { return -1 }
      // Tokens ascend, but one token can have characters of several words.
      while word > 0, ranges[word - 1].upperBound > characters.lowerBound { word -= 1 }
      while word < ranges.count, ranges[word].upperBound <= characters.lowerBound { word += 1 }
      return word < ranges.count && ranges[word].overlaps(characters) ? Int32(word) : -1
    }
    return WordEncoding(ids: encoding.ids, typeIDs: encoding.typeIDs, words: words)
  }

  /// The tokens that count, ascending, each with its word: the first of each word, or all of them.
  static func counted(_ encoding: WordEncoding, _ subwords: SubwordUse) -> [CountedToken] {
    var last: Int32 = -1
    var counted: [CountedToken] = []
    for (token, word) in encoding.words.enumerated() where word >= 0 {
      if subwords == .all || word != last {
        counted.append(CountedToken(token: token, word: Int(word), end: token + 1))
      } else {
        counted[counted.count - 1].end = token + 1
      }
      last = word
    }
    return counted
  }

  /// The tag of each word: B for the first word that has characters of an entity, I for the others (BIO).
  func tags(of spans: [EntitySpan]) -> [String] {
    var tags = [String](repeating: TagScheme.outside, count: texts.count)
    for span in spans {
      var isFirst = true
      for (place, word) in ranges.enumerated() where word.overlaps(span.range) {
        tags[place] = (isFirst ? "B-" : "I-") + span.label
        isFirst = false
      }
    }
    return tags
  }
}

/// A token that counts.
struct CountedToken: Equatable {
  let token: Int
  /// Its word.
  let word: Int
  /// The token after the last one that is part of what it stands for: the word, or itself if all tokens count.
  var end: Int
}

extension String {
  /// The text of some characters.
  init(scalars: ArraySlice<Unicode.Scalar>) {
    var view = UnicodeScalarView()
    view.append(contentsOf: scalars)
    self.init(view)
  }
}
