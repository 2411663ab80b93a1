import Platform

/// Byte pair encoding (Sennrich, Haddow and Birch, 2016): a word starts as its smallest tokens, and neighbours are
/// merged in the order of the merge list.
struct BPEModel: SubwordModel {
  /// The units of a word before any merge.
  enum Units: Sendable, Equatable {
    /// Bytes, written in the vocabulary with `ByteAlphabet`.
    case bytes
    /// Unicode scalars. A scalar without a token becomes the tokens of its bytes, `<0x00>`…`<0xFF>`, with
    /// `byteFallback`, and otherwise the unknown token; adjacent unknown tokens become one with `fusesUnknown`.
    case scalars(byteFallback: Bool, unknown: Int32?, fusesUnknown: Bool)
  }

  let vocabulary: Vocabulary
  let units: Units
  /// Whether a whole word that is a token is used without merges.
  let ignoresMerges: Bool
  private let table: MergeTable
  private let mergeCount: Int
  private let mergeDigest: String
  /// The token of each byte, for byte-level vocabularies and byte fallback; -1 if there is none.
  private let byteTokens: [Int32]
  /// Tokens by their bytes, for `ignoresMerges`.
  private let wholeWords: ByteTrie?
  /// Whether no merged token has a mark after another character, so that text may be cut before such marks.
  private let isCutAtMarks: Bool
  /// Words of up to this length are merged in place, without an allocation.
  private static let shortWord = 48

  /// - Parameter merges: pairs of tokens, the earliest first.
  /// - Throws: `.input` with the merge, if one of its parts or its result is not a token.
  init(
    vocabulary: Vocabulary, merges: [(left: String, right: String)], units: Units, ignoresMerges: Bool,
    at location: String
  ) throws {
    self.vocabulary = vocabulary
    self.units = units
    self.ignoresMerges = ignoresMerges
    var table = MergeTable(capacity: merges.count)
    let digest = Digest()
    for (rank, (left, right)) in merges.enumerated() {
      guard let first = vocabulary.id(of: left), let second = vocabulary.id(of: right),
        let token = vocabulary.id(of: left + right)
      else {
        throw RetortError(
          .input, "merge \(rank) joins \(quoted(left)) and \(quoted(right)), but a part or the result is not a token",
          at: location, remedy: "the file is damaged: download it again from the model's source")
      }
      table.insert(first, second, rank: rank, token: token)
      digest.update(UInt64(UInt32(bitPattern: first)) << 32 | UInt64(UInt32(bitPattern: second)))
    }
    self.table = table
    mergeCount = merges.count
    mergeDigest = digest.finish()
    byteTokens = (0..<256).map { byte in
      switch units {
      case .bytes: vocabulary.id(of: String(ByteAlphabet.scalars[byte])) ?? -1
      case .scalars: vocabulary.id(of: BPEModel.fallbackToken(UInt8(byte))) ?? -1
      }
    }
    isCutAtMarks =
      units != .bytes && !ignoresMerges && vocabulary.id(of: MetaspaceMark.text) != nil
      && merges.allSatisfy { BPEModel.hasMarksInFrontOnly($0.left + $0.right) }
    wholeWords = ignoresMerges ? BPEModel.wholeWords(vocabulary, units) : nil
  }

  private static func hasMarksInFrontOnly(_ token: String) -> Bool {
    let mark = MetaspaceMark.text.unicodeScalars.first
    return !token.unicodeScalars.drop { $0 == mark }.contains { $0 == mark }
  }

  /// The token of a byte in a vocabulary with byte fallback.
  static func fallbackToken(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16, uppercase: true)
    return "<0x" + (digits.count < 2 ? "0" : "") + digits + ">"
  }

  /// Whether the vocabulary can encode any text, so that no character is unknown.
  static func coversAllBytes(_ vocabulary: Vocabulary, _ units: Units) -> Bool {
    switch units {
    case .bytes: ByteAlphabet.scalars.allSatisfy { vocabulary.id(of: String($0)) != nil }
    case .scalars(let byteFallback, _, _):
      byteFallback && (0..<256).allSatisfy { vocabulary.id(of: fallbackToken(UInt8($0))) != nil }
    }
  }

  private static func wholeWords(_ vocabulary: Vocabulary, _ units: Units) -> ByteTrie {
    guard units == .bytes else { return vocabulary.trie }
    var trie = ByteTrie(expectedByteCount: 8 * vocabulary.size)
    for id in 0..<Int32(vocabulary.size) {
      guard let bytes = vocabulary.token(of: id).flatMap(ByteAlphabet.bytes) else { continue }
      bytes.withUnsafeBufferPointer { _ = trie.insert($0, value: id) }
    }
    return trie
  }

  func add(to digest: Digest) {
    digest.update("bpe \(units) \(ignoresMerges) \(mergeCount)")
    digest.update(mergeDigest)
    vocabulary.add(to: digest)
  }

  func encode(_ text: UnsafeBufferPointer<UInt8>, words: [Range<Int>], into ids: inout [Int32]) {
    table.withLookup { lookup in
      withUnsafeTemporaryAllocation(of: Int32.self, capacity: BPEModel.shortWord) { tokens in
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: BPEModel.shortWord) { merges in
          guard let tokens = tokens.baseAddress, let merges = merges.baseAddress else { return }
          let room = Room(lookup: lookup, tokens: tokens, merges: merges)
          for word in words {
            if isCutAtMarks {
              encodeParts(of: word, in: text, room, into: &ids)
            } else {
              encodeWord(text, word, room, into: &ids)
            }
          }
        }
      }
    }
  }

  /// The merges, and scratch memory for a short word.
  private struct Room {
    let lookup: MergeTable.Lookup
    let tokens: UnsafeMutablePointer<Int32>
    let merges: UnsafeMutablePointer<UInt64>
  }

  /// Encodes a word in parts, cut before each mark that follows another character, so that a text that is not split
  /// into words costs no more than one that is.
  private func encodeParts(
    of word: Range<Int>, in text: UnsafeBufferPointer<UInt8>, _ room: Room, into ids: inout [Int32]
  ) {
    func isMark(_ index: Int) -> Bool {
      index >= word.lowerBound && index + 3 <= word.upperBound && text[index] == 0xe2 && text[index + 1] == 0x96
        && text[index + 2] == 0x81
    }
    var start = word.lowerBound
    for index in word.dropFirst() where text[index] == 0xe2 && isMark(index) && !isMark(index - 3) {
      encodeWord(text, start..<index, room, into: &ids)
      start = index
    }
    if start < word.upperBound { encodeWord(text, start..<word.upperBound, room, into: &ids) }
  }

  @inline(__always)
  private func encodeWord(
    _ text: UnsafeBufferPointer<UInt8>, _ word: Range<Int>, _ room: Room, into ids: inout [Int32]
  ) {
    if let wholeWords, let id = wholeWords.value(of: UnsafeBufferPointer(rebasing: text[word])) {
      ids.append(id)
    } else if word.count <= BPEModel.shortWord {
      var count = 0
      start(text, word) { token, _ in
        room.tokens[count] = token
        count += 1
      }
      count = room.lookup.mergeShort(room.tokens, room.merges, count: count)
      ids.append(contentsOf: UnsafeBufferPointer(start: room.tokens, count: count))
    } else {
      var long: [Int32] = []
      long.reserveCapacity(word.count)
      start(text, word) { token, _ in long.append(token) }
      room.lookup.mergeLong(&long)
      ids.append(contentsOf: long)
    }
  }

  func spans(of word: UnsafeBufferPointer<UInt8>) -> [TokenSpan] {
    if let wholeWords, let id = wholeWords.value(of: word) { return [TokenSpan(id: id, range: 0..<word.count)] }
    var tokens: [Int32] = []
    var lengths: [Int] = []
    start(word, 0..<word.count) { token, length in
      tokens.append(token)
      lengths.append(length)
    }
    if tokens.isEmpty { return [] }
    table.withLookup { $0.mergeInPlace(&tokens) }
    // As in the library, a token begins where the one before it ends, even if a character between them has no token.
    var spans: [TokenSpan] = []
    var end = 0
    for (token, length) in zip(tokens, lengths) {
      end += length
      if token >= 0 {
        spans.append(TokenSpan(id: token, range: end - length..<end))
      } else if let last = spans.popLast() {
        spans.append(TokenSpan(id: last.id, range: last.range.lowerBound..<end))
      }
    }
    return spans
  }

  /// Passes the initial tokens of a word and the number of bytes of each to `add`, at most one token per byte.
  @inline(__always)
  private func start(
    _ text: UnsafeBufferPointer<UInt8>, _ word: Range<Int>, _ add: (_ token: Int32, _ length: Int) -> Void
  ) {
    switch units {
    case .bytes: for index in word where byteTokens[Int(text[index])] >= 0 { add(byteTokens[Int(text[index])], 1) }
    case .scalars(let byteFallback, let unknown, let fusesUnknown):
      // As in the library, an unknown token is added only at the next known character or the end, after the bytes of
      // the characters in between.
      var pending = 0
      var index = word.lowerBound
      while index < word.upperBound {
        let end = UTF8Text.scalar(at: index, in: text).next
        let bytes = UnsafeBufferPointer(rebasing: text[index..<end])
        index = end
        if let id = vocabulary.trie.value(of: bytes) {
          if pending > 0, let unknown { add(unknown, pending) }
          pending = 0
          add(id, bytes.count)
        } else if byteFallback, bytes.allSatisfy({ byteTokens[Int($0)] >= 0 }) {
          for byte in bytes { add(byteTokens[Int(byte)], 1) }
        } else if let unknown {
          if pending > 0, !fusesUnknown {
            add(unknown, pending)
            pending = 0
          }
          pending += bytes.count
        }
      }
      if pending > 0, let unknown { add(unknown, pending) }
    }
  }
}
