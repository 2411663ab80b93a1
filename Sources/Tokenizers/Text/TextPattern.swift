/// A fixed text or one of the small regular expressions that tokenizers use: a run of one class of characters.
///
/// A general engine is not needed. Any other expression is refused when the file is read, never approximated.
struct TextPattern: Sendable, Equatable {
  /// The characters of a run.
  indirect enum Characters: Sendable, Equatable {
    case scalars([ClosedRange<UInt32>])
    /// `\s`
    case whiteSpace
    /// `\p{N}`
    case numbers
    /// `\d`: general category Nd.
    case decimalDigits
    /// `\p{L}`
    case letters
    /// `\p{P}`
    case punctuation
    case not(Characters)
    case any([Characters])

    func contains(_ scalar: Unicode.Scalar) -> Bool {
      switch self {
      case .scalars(let ranges): return ranges.contains { $0.contains(scalar.value) }
      case .whiteSpace: return isWhiteSpace(scalar)
      case .numbers: return CharacterKind.of(scalar) == .digit
      case .decimalDigits:
        return scalar.properties.generalCategory == .decimalNumber && !isNewToExpressions(scalar)
      case .letters: return CharacterKind.of(scalar) == .letter
      case .punctuation:
        switch scalar.properties.generalCategory {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
          .finalPunctuation, .otherPunctuation:
          return !isNewToExpressions(scalar)
        default: return false
        }
      case .not(let characters): return !characters.contains(scalar)
      case .any(let parts): return parts.contains { $0.contains(scalar) }
      }
    }
  }

  // Not private: the description of a private type contains an address, and the digest uses the description.
  enum Form: Sendable, Equatable {
    case text([UInt8])
    /// `^ +| +$`: spaces at the beginning and at the end of each line.
    case outerSpaces
    /// `\A +| +\z`: spaces at the beginning and at the end of the text.
    case edgeSpaces
    /// `\A` and a text: only at the beginning of the text.
    case start([UInt8])
    /// The first of these texts that matches.
    case texts([[UInt8]])
    case run(Characters, least: Int, most: Int)
  }

  private let form: Form

  /// A non-empty fixed text.
  init(text: String) { self.init(form: .text(Array(text.utf8))) }

  /// A run of one character.
  init(run character: Unicode.Scalar) {
    self.init(form: .run(.scalars([character.value...character.value]), least: 1, most: .max))
  }

  private init(form: Form) { self.form = form }

  /// The pattern of a regular expression; nil for an unsupported one.
  init?(regex: String) {
    if regex == "^ +| +$" {
      self.init(form: .outerSpaces)
      return
    }
    if regex == "\\A +| +\\z" {
      self.init(form: .edgeSpaces)
      return
    }
    if regex.hasPrefix("\\A"), let texts = TextPattern.texts(String(regex.dropFirst(2))), texts.count == 1 {
      self.init(form: .start(texts[0]))
      return
    }
    if !regex.isEmpty, !regex.unicodeScalars.contains(where: { "\\[](){}.*+?^$|".unicodeScalars.contains($0) }) {
      self.init(text: regex)
      return
    }
    var parser = RunParser(regex)
    if let run = parser.run() {
      self.init(form: .run(run.characters, least: run.least, most: run.most))
    } else if let texts = TextPattern.texts(regex) {
      self.init(form: .texts(texts))
    } else {
      return nil
    }
  }

  /// The alternatives of an expression like `\[A\]|b`: texts without special characters, or with a backslash before
  /// them; nil for any other expression.
  private static func texts(_ regex: String) -> [[UInt8]]? {
    var texts: [[UInt8]] = [[]]
    var isEscaped = false
    for scalar in regex.unicodeScalars {
      if isEscaped {
        // A letter or digit after a backslash has a special meaning.
        guard scalar.isASCII, !scalar.properties.isAlphabetic, !(0x30...0x39).contains(scalar.value) else { return nil }
      } else if scalar == "\\" {
        isEscaped = true
        continue
      } else if scalar == "|" {
        texts.append([])
        continue
      } else if "[](){}.*+?^$".unicodeScalars.contains(scalar) {
        return nil
      }
      isEscaped = false
      texts[texts.count - 1] += Array(String(scalar).utf8)
    }
    return isEscaped || texts.contains([]) ? nil : texts
  }

  /// The end of the match that starts at `index`; `index` if there is none.
  @inline(__always)
  func matchEnd(_ text: UnsafeBufferPointer<UInt8>, _ index: Int) -> Int {
    switch form {
    case .text(let bytes):
      guard text[index] == bytes.first, text[index...].starts(with: bytes) else { return index }
      return index + bytes.count
    case .outerSpaces:
      var end = index
      while end < text.count, text[end] == 0x20 { end += 1 }
      let startsLine = index == 0 || text[index - 1] == 0x0a
      return startsLine || end == text.count || text[end] == 0x0a ? end : index
    case .edgeSpaces:
      // A run of spaces is looked at once, from its beginning.
      guard text[index] == 0x20, index == 0 || text[index - 1] != 0x20 else { return index }
      var end = index
      while end < text.count, text[end] == 0x20 { end += 1 }
      return index == 0 || end == text.count ? end : index
    case .start(let bytes): return index == 0 && text.starts(with: bytes) ? bytes.count : index
    case .texts(let texts):
      let rest = text[index...]
      return index + (texts.first { $0[0] == text[index] && rest.starts(with: $0) }?.count ?? 0)
    case .run(let characters, let least, let most):
      var end = index
      var count = 0
      while count < most, end < text.count {
        let (scalar, next) = UTF8Text.scalar(at: end, in: text)
        guard characters.contains(scalar) else { break }
        end = next
        count += 1
      }
      return count >= least ? end : index
    }
  }
}

/// Parses one class of characters and its repetition: `\p{N}{1,3}`, `[0-9a-f]+`, ` {2,}`, `\n`.
private struct RunParser {
  private let scalars: [Unicode.Scalar]
  private var index = 0

  init(_ regex: String) { scalars = Array(regex.unicodeScalars) }

  mutating func run() -> (characters: TextPattern.Characters, least: Int, most: Int)? {
    guard let characters = atom(), let (least, most) = repetition(), index == scalars.count else { return nil }
    return (characters, least, most)
  }

  private var next: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

  private mutating func take() -> Unicode.Scalar? {
    guard let scalar = next else { return nil }
    index += 1
    return scalar
  }

  private mutating func atom() -> TextPattern.Characters? {
    guard let scalar = take() else { return nil }
    switch scalar {
    case "\\": return escape()
    case "[": return set()
    case "(", ")", "]", "{", "}", ".", "*", "+", "?", "^", "$", "|": return nil
    default: return .scalars([scalar.value...scalar.value])
    }
  }

  private mutating func escape() -> TextPattern.Characters? {
    guard let scalar = take() else { return nil }
    switch scalar {
    case "s": return .whiteSpace
    case "S": return .not(.whiteSpace)
    case "d": return .decimalDigits
    case "D": return .not(.decimalDigits)
    case "n": return .scalars([0x0a...0x0a])
    case "r": return .scalars([0x0d...0x0d])
    case "t": return .scalars([0x09...0x09])
    case "p", "P":
      guard take() == "{", let name = take(), take() == "}" else { return nil }
      let characters: TextPattern.Characters
      switch name {
      case "N": characters = .numbers
      case "L": characters = .letters
      case "P": characters = .punctuation
      default: return nil
      }
      return scalar == "p" ? characters : .not(characters)
    default:
      // A letter or digit after a backslash has a special meaning; any other character represents itself.
      guard scalar.isASCII, !scalar.properties.isAlphabetic, !(0x30...0x39).contains(scalar.value) else { return nil }
      return .scalars([scalar.value...scalar.value])
    }
  }

  private mutating func set() -> TextPattern.Characters? {
    var parts: [TextPattern.Characters] = []
    let isNegated = next == "^"
    if isNegated { index += 1 }
    while let scalar = take() {
      if scalar == "]" {
        if parts.isEmpty { return nil }
        return isNegated ? .not(.any(parts)) : .any(parts)
      }
      if scalar == "[" || scalar == "&" { return nil }
      guard scalar != "\\" else {
        guard let part = escape(), next != "-" else { return nil }
        parts.append(part)
        continue
      }
      var upper = scalar
      if next == "-", index + 1 < scalars.count, scalars[index + 1] != "]" {
        index += 1
        guard let end = take(), end != "\\", end != "[", end.value >= scalar.value else { return nil }
        upper = end
      }
      parts.append(.scalars([scalar.value...upper.value]))
    }
    return nil
  }

  /// None, `+`, `{n}`, `{n,}` or `{n,m}`; repetitions that can match nothing are not supported.
  private mutating func repetition() -> (least: Int, most: Int)? {
    switch next {
    case nil: return (1, 1)
    case "+":
      index += 1
      return (1, .max)
    case "{":
      index += 1
      var text = ""
      while let scalar = next, scalar != "}" {
        text.unicodeScalars.append(scalar)
        index += 1
      }
      guard take() == "}" else { return nil }
      let parts = text.split(separator: ",", omittingEmptySubsequences: false)
      guard let least = parts.first.flatMap({ Int($0) }), least >= 1, least < 1000, parts.count <= 2 else { return nil }
      guard parts.count == 2 else { return (least, least) }
      if parts[1].isEmpty { return (least, .max) }
      guard let most = Int(parts[1]), most >= least else { return nil }
      return (least, most)
    default: return nil
    }
  }
}
