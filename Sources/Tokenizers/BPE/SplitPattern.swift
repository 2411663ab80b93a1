import Platform

/// The regular expressions with which byte-level tokenizers split text into words, as one scanner with settings.
///
/// A general engine is not needed: the field uses few patterns, each a list of alternatives tried in order.
/// An unknown pattern is refused when the file is read, never approximated.
struct SplitPattern: PreTokenizer, Equatable {
  /// The most digits in a word.
  enum Digits: Sendable { case any, one, three }

  /// Whether contractions ignore case (`'S`), and a word may begin with any one character that is not a letter, digit
  /// or line end (Llama 3, Qwen 2); otherwise words, punctuation and digits may begin only with a space (GPT-2).
  let isModern: Bool
  let digits: Digits

  static let gpt2 = SplitPattern(isModern: false, digits: .any)
  static let llama3 = SplitPattern(isModern: true, digits: .three)
  static let qwen2 = SplitPattern(isModern: true, digits: .one)

  private static let modern = (
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|",
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
  )
  /// The expression of Qwen 2.
  static let qwen2Expression = modern.0 + "\\p{N}" + modern.1
  private static let known: [String: SplitPattern] = [
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+": .gpt2,
    modern.0 + "\\p{N}{1,3}" + modern.1: .llama3,
    qwen2Expression: .qwen2,
    modern.0 + "\\p{N}+" + modern.1: SplitPattern(isModern: true, digits: .any),
  ]

  /// The scanner for a regular expression; nil for an unknown one.
  init?(regex: String) {
    guard let pattern = SplitPattern.known[regex] else { return nil }
    self = pattern
  }

  private init(isModern: Bool, digits: Digits) {
    self.isModern = isModern
    self.digits = digits
  }

  func add(to digest: Digest) { digest.update("split \(isModern) \(digits)") }

  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>]) {
    CharacterKind.ascii.withUnsafeBufferPointer { table in
      let scanner = SplitScanner(text: text, table: table, pattern: self)
      var start = 0
      while start < text.count {
        let end = scanner.word(at: start)
        words.append(start..<end)
        start = end
      }
    }
  }
}

/// The character classes of the patterns.
enum CharacterKind: UInt8 {
  case letter, digit, space, lineEnd, other

  static let ascii: [UInt8] = (0..<128).map { of(Unicode.Scalar(UInt8($0))).rawValue }

  /// \p{L}, \p{N}, \r and \n, \s, or none of these.
  static func of(_ scalar: Unicode.Scalar) -> CharacterKind {
    if scalar == "\n" || scalar == "\r" { return .lineEnd }
    if isWhiteSpace(scalar) { return .space }
    if isNewToExpressions(scalar) { return .other }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return .letter
    case .decimalNumber, .letterNumber, .otherNumber: return .digit
    default: return .other
    }
  }
}

private struct SplitScanner {
  let text: UnsafeBufferPointer<UInt8>
  let table: UnsafeBufferPointer<UInt8>
  let pattern: SplitPattern

  /// The kind of the character at `index` and the index after it; nil at the end.
  @inline(__always)
  private func character(_ index: Int) -> (kind: CharacterKind, next: Int)? {
    guard index < text.count else { return nil }
    let byte = text[index]
    if byte < 0x80 { return (CharacterKind(rawValue: table[Int(byte)]) ?? .other, index + 1) }
    let (scalar, next) = UTF8Text.scalar(at: index, in: text)
    return (CharacterKind.of(scalar), next)
  }

  /// The end of a run of one kind that starts at `index`, at most `limit` characters long.
  @inline(__always)
  private func end(of kind: CharacterKind, from index: Int, limit: Int = .max) -> Int {
    var (index, left) = (index, limit)
    while left > 0, let (next, end) = character(index), next == kind {
      index = end
      left -= 1
    }
    return index
  }

  /// The end of the word that starts at `start`, which is before the end of the text.
  func word(at start: Int) -> Int {
    if text[start] == 0x27, let end = contraction(start) { return end }
    guard let (kind, next) = character(start) else { return start + 1 }
    let follower = character(next)?.kind
    let isSpace = text[start] == 0x20
    if kind == .letter { return end(of: .letter, from: next) }
    let mayLead = pattern.isModern ? kind == .space || kind == .other : isSpace
    if mayLead, follower == .letter { return end(of: .letter, from: next) }
    if kind == .digit { return digits(from: start) }
    if !pattern.isModern, isSpace, follower == .digit { return digits(from: next) }
    if kind == .other || isSpace && follower == .other {
      let end = end(of: .other, from: kind == .other ? start : next)
      return pattern.isModern ? self.end(of: .lineEnd, from: end) : end
    }
    return whiteSpace(from: start)
  }

  private func digits(from start: Int) -> Int {
    switch pattern.digits {
    case .any: end(of: .digit, from: start)
    case .one: end(of: .digit, from: start, limit: 1)
    case .three: end(of: .digit, from: start, limit: 3)
    }
  }

  /// `\s*[\r\n]+` (modern patterns), else `\s+(?!\S)`: all but the last before a word, else `\s+`.
  private func whiteSpace(from start: Int) -> Int {
    var (index, last, lineEnd) = (start, start, -1)
    while let (kind, next) = character(index), kind == .space || kind == .lineEnd {
      if kind == .lineEnd { lineEnd = next }
      last = index
      index = next
    }
    if pattern.isModern, lineEnd >= 0 { return lineEnd }
    return index == text.count || last == start ? index : last
  }

  /// The end of 's, 't, 're, 've, 'm, 'll or 'd at `start`; modern patterns ignore case.
  private func contraction(_ start: Int) -> Int? {
    func letter(_ offset: Int) -> (UInt8, Int) {
      guard start + offset < text.count else { return (0, 0) }
      let byte = text[start + offset]
      guard pattern.isModern else { return (byte, 1) }
      // ſ matches s when case is ignored.
      if byte == 0xc5, start + offset + 1 < text.count, text[start + offset + 1] == 0xbf {
        return (UInt8(ascii: "s"), 2)
      }
      return ((0x41...0x5a).contains(byte) ? byte | 0x20 : byte, 1)
    }
    let (first, length) = letter(1)
    switch first {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return start + 1 + length
    case UInt8(ascii: "r"), UInt8(ascii: "v"): return letter(2).0 == UInt8(ascii: "e") ? start + 3 : nil
    case UInt8(ascii: "l"): return letter(2).0 == UInt8(ascii: "l") ? start + 3 : nil
    default: return nil
    }
  }
}
