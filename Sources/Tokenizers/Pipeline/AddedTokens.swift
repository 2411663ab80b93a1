import Platform

/// A token that is found in the text as it stands, before or beside the model's own cutting.
struct AddedToken: Equatable, Sendable {
  var id: Int32
  var content: String
  /// Left out by `decode` where special tokens are skipped.
  var isSpecial = false
  /// Matches only where neither neighbour is part of a word.
  var singleWord = false
  /// Takes the white space before it with it.
  var stripsLeft = false
  /// Takes the white space after it with it.
  var stripsRight = false
  /// Looked for in normalised text, by its own normal form.
  var normalized = false
}

/// A piece of text between added tokens, or one of these.
enum Segment: Equatable {
  case text(Range<Int>)
  case token(Int32)
}

/// All added tokens of a tokenizer, in two sets: those found in raw text and those found in normalised text.
struct AddedTokens: Digestible {
  private let tokens: [AddedToken]
  private let indexByID: [Int32: Int]
  private let raw: AddedTokenMatcher
  private let normalized: AddedTokenMatcher

  /// Whether special tokens are not looked for in texts, which are cut up where they hold one.
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

  /// By bytes: Swift's `==` takes the composed and the decomposed form of a letter for the same text.
  func id(of content: String) -> Int32? { tokens.first { $0.content.utf8.elementsEqual(content.utf8) }?.id }

  func splitRaw(_ text: UnsafeBufferPointer<UInt8>) -> [Segment] { raw.split(text) }

  func splitNormalized(_ text: UnsafeBufferPointer<UInt8>) -> [Segment] { normalized.split(text) }

  func add(to digest: Digest) {
    digest.update("added tokens")
    digest.update(UInt64(tokens.count))
    for token in tokens {
      digest.update(UInt64(token.id))
      digest.update(token.content)
      // Not whether it is special: that decides what decoding shows, never an id.
      let flags = [token.singleWord, token.stripsLeft, token.stripsRight, token.normalized]
      digest.update(flags.reduce(0) { $0 << 1 | ($1 ? 1 : 0) })
      if splitsSpecial, token.isSpecial { digest.update("split") }
    }
  }
}

/// Finds a set of tokens in text: leftmost first, of several at one place the longest, never overlapping.
struct AddedTokenMatcher: Sendable {
  private let tokens: [AddedToken]
  private var trie = ByteTrie()
  /// Whether any pattern starts with a byte: most text is passed over by this table alone.
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
      segments.append(.token(token.id))
      // The search goes on behind the match itself: a token may begin with the space that this one has taken.
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
