import Platform

/// A token that is searched in the text itself, before the model splits the text.
struct AddedToken: Equatable, Sendable {
  var id: Int32
  var content: String
  /// Whether `decode` omits it when it skips special tokens.
  var isSpecial = false
  /// Whether it matches only if neither neighbour is part of a word.
  var singleWord = false
  /// Whether a match includes the white space before it.
  var stripsLeft = false
  /// Whether a match includes the white space after it.
  var stripsRight = false
  /// Whether its normal form is searched in normalised text.
  var normalized = false
}

/// A piece of text between added tokens, or an added token.
enum Segment: Equatable {
  case text(Range<Int>)
  case token(Int32, at: Range<Int>)
}

/// All added tokens of a tokenizer, in two sets: those found in raw text and those found in normalised text.
struct AddedTokens: Digestible {
  private let tokens: [AddedToken]
  private let indexByID: [Int32: Int]
  private let raw: AddedTokenMatcher
  private let normalized: AddedTokenMatcher

  /// Whether special tokens in a text are split like any other text instead of being matched.
  private let splitsSpecial: Bool

  init(_ tokens: [AddedToken], normalizer: (any Normalizer)?, splitsSpecial: Bool = false) {
    self.splitsSpecial = splitsSpecial
    self.tokens = tokens.sorted { $0.id < $1.id }
    indexByID = Dictionary(self.tokens.enumerated().map { ($1.id, $0) }) { first, _ in first }
    let found = self.tokens.filter { !(splitsSpecial && $0.isSpecial) }
    raw = AddedTokenMatcher(found.filter { !$0.normalized }.map { (Array($0.content.utf8), $0) })
    normalized = AddedTokenMatcher(
      found.filter(\.normalized).map { token in
        let content = Array(token.content.utf8)
        guard let normalizer else { return (content, token) }
        var pattern: [UInt8] = []
        content.withUnsafeBufferPointer { normalizer.normalize($0, into: &pattern) }
        return (pattern, token)
      })
  }

  var largestID: Int32 { tokens.last?.id ?? -1 }

  func content(of id: Int32) -> String? { indexByID[id].map { tokens[$0].content } }

  func isSpecial(_ id: Int32) -> Bool { indexByID[id].map { tokens[$0].isSpecial } ?? false }

  /// Compares bytes, since Swift's `==` treats the composed and the decomposed form of a letter as equal.
  func id(of content: String) -> Int32? { tokens.first { $0.content.utf8.elementsEqual(content.utf8) }?.id }

  func splitRaw(_ text: UnsafeBufferPointer<UInt8>) -> [Segment] { raw.split(text) }

  func splitNormalized(_ text: UnsafeBufferPointer<UInt8>) -> [Segment] { normalized.split(text) }

  func add(to digest: Digest) {
    digest.update("added tokens")
    digest.update(UInt64(tokens.count))
    for token in tokens {
      digest.update(UInt64(token.id))
      digest.update(token.content)
      // `isSpecial` is not included: it affects decoding only, never an id.
      let flags = [token.singleWord, token.stripsLeft, token.stripsRight, token.normalized]
      digest.update(flags.reduce(0) { $0 << 1 | ($1 ? 1 : 0) })
      if splitsSpecial, token.isSpecial { digest.update("split") }
    }
  }
}

/// Finds a set of tokens in text: the leftmost first, the longest of several at one position, without overlaps.
struct AddedTokenMatcher: Sendable {
  private let tokens: [AddedToken]
  private var trie = ByteTrie()
  /// For each byte, whether a pattern starts with it; this table alone skips most text.
  private var startsPattern = [Bool](repeating: false, count: 256)

  init(_ patterns: [(bytes: [UInt8], token: AddedToken)]) {
    tokens = patterns.map(\.token)
    for (index, pattern) in patterns.enumerated() where !pattern.bytes.isEmpty {
      startsPattern[Int(pattern.bytes[0])] = true
      pattern.bytes.withUnsafeBufferPointer { _ = trie.insert($0, value: Int32(index)) }
    }
  }

  func split(_ text: UnsafeBufferPointer<UInt8>) -> [Segment] {
    if tokens.isEmpty { return text.isEmpty ? [] : [.text(0..<text.count)] }
    var segments: [Segment] = []
    var textStart = 0
    var index = 0
    while index < text.count {
      guard startsPattern[Int(text[index])],
        let match = trie.longestPrefix(of: text, from: index, node: ByteTrie.root)
      else {
        index += 1
        continue
      }
      let token = tokens[Int(match.value)]
      let found = index..<match.end
      index = match.end
      if token.singleWord && touchesWord(found, in: text) { continue }
      let start = token.stripsLeft ? max(textStart, startOfSpace(before: found.lowerBound, in: text)) : found.lowerBound
      let end = token.stripsRight ? endOfSpace(after: found.upperBound, in: text) : found.upperBound
      if textStart < start { segments.append(.text(textStart..<start)) }
      segments.append(.token(token.id, at: start..<end))
      // The search continues after the match itself: another token may begin with the space that this one includes.
      textStart = end
    }
    if textStart < text.count { segments.append(.text(textStart..<text.count)) }
    return segments
  }

  private func touchesWord(_ range: Range<Int>, in text: UnsafeBufferPointer<UInt8>) -> Bool {
    if range.lowerBound > 0, isWordCharacter(UTF8Text.scalar(before: range.lowerBound, in: text).scalar) { return true }
    return range.upperBound < text.count && isWordCharacter(UTF8Text.scalar(at: range.upperBound, in: text).scalar)
  }

  private func startOfSpace(before end: Int, in text: UnsafeBufferPointer<UInt8>) -> Int {
    var start = end
    while start > 0 {
      let (scalar, previous) = UTF8Text.scalar(before: start, in: text)
      guard isWhiteSpace(scalar) else { break }
      start = previous
    }
    return start
  }

  private func endOfSpace(after start: Int, in text: UnsafeBufferPointer<UInt8>) -> Int {
    var end = start
    while end < text.count {
      let (scalar, next) = UTF8Text.scalar(at: end, in: text)
      guard isWhiteSpace(scalar) else { break }
      end = next
    }
    return end
  }
}
