import Platform

/// Splits at each character of a class: digits, white space, punctuation or one given character.
struct CharacterSplitter: PreTokenizer {
  enum Class: Sendable, Equatable {
    case digits
    case whiteSpace
    case punctuation
    case character(Unicode.Scalar)

    @inline(__always)
    func contains(_ scalar: Unicode.Scalar) -> Bool {
      switch self {
      case .digits: isNumeric(scalar)
      case .whiteSpace: isWhiteSpace(scalar)
      case .punctuation: isBERTPunctuation(scalar)
      case .character(let character): scalar == character
      }
    }
  }

  let characters: Class
  let behavior: DelimiterBehavior
  /// Whether each ASCII byte is in the class.
  private let ascii: [Bool]

  init(_ characters: Class, _ behavior: DelimiterBehavior) {
    self.characters = characters
    self.behavior = behavior
    ascii = (0..<128).map { characters.contains(Unicode.Scalar(UInt8($0))) }
  }

  func add(to digest: Digest) { digest.update("characters \(characters) \(behavior)") }

  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>]) {
    var collector = WordCollector(behavior, from: 0)
    ascii.withUnsafeBufferPointer { ascii in
      var index = 0
      while index < text.count {
        let byte = text[index]
        var next = index + 1
        if byte < 0x80 {
          if ascii[Int(byte)] { collector.add(match: index..<next) }
        } else {
          let scalar: Unicode.Scalar
          (scalar, next) = UTF8Text.scalar(at: index, in: text)
          if characters.contains(scalar) { collector.add(match: index..<next) }
        }
        index = next
      }
    }
    collector.finish(at: text.count, into: &words)
  }
}

/// Splits into runs of word characters and runs of characters that are neither word nor white space (`\w+|[^\w\s]+`).
struct WordPunctuationSplitter: PreTokenizer {
  private enum Kind { case word, space, other }

  private static let ascii: [Kind] = (0..<128).map { kind(of: Unicode.Scalar(UInt8($0))) }

  private static func kind(of scalar: Unicode.Scalar) -> Kind {
    isWhiteSpace(scalar) ? .space : isWordCharacter(scalar) ? .word : .other
  }

  func add(to digest: Digest) { digest.update("words and punctuation") }

  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>]) {
    WordPunctuationSplitter.ascii.withUnsafeBufferPointer { ascii in
      var start = 0
      var current = Kind.space
      var index = 0
      while index < text.count {
        let byte = text[index]
        let kind: Kind
        var next = index + 1
        if byte < 0x80 {
          kind = ascii[Int(byte)]
        } else {
          let scalar: Unicode.Scalar
          (scalar, next) = UTF8Text.scalar(at: index, in: text)
          kind = WordPunctuationSplitter.kind(of: scalar)
        }
        if kind != current {
          if current != .space { words.append(start..<index) }
          start = index
          current = kind
        }
        index = next
      }
      if current != .space { words.append(start..<text.count) }
    }
  }
}

/// Splits at the matches of a pattern (`Split` in tokenizer.json).
struct PatternSplitter: PreTokenizer {
  let pattern: TextPattern
  let behavior: DelimiterBehavior
  let invert: Bool

  func add(to digest: Digest) { digest.update("split at \(pattern) \(behavior) \(invert)") }

  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>]) {
    var collector = WordCollector(behavior, invert: invert, from: 0)
    var index = 0
    while index < text.count {
      let end = pattern.matchEnd(text, index)
      if end > index { collector.add(match: index..<end) }
      index = end > index ? end : UTF8Text.scalar(at: index, in: text).next
    }
    collector.finish(at: text.count, into: &words)
  }
}

/// Splits with a known pattern of byte-level tokenizers and any `behavior`; every word is a match.
struct KnownPatternSplitter: PreTokenizer {
  let pattern: SplitPattern
  let behavior: DelimiterBehavior
  let invert: Bool

  func add(to digest: Digest) {
    digest.update("split \(behavior) \(invert)")
    pattern.add(to: digest)
  }

  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>]) {
    var matches: [Range<Int>] = []
    pattern.split(text, into: &matches)
    var collector = WordCollector(behavior, invert: invert, from: 0)
    for match in matches { collector.add(match: match) }
    collector.finish(at: text.count, into: &words)
  }
}
