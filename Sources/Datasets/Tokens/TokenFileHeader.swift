import Platform

/// The header of a token file: its counts, key and checksums.
///
/// The layout of a file of N examples, little-endian; the image in memory has the same layout:
///
///     header    192 bytes   24 words of 64 bits, the last one a checksum of the others
///     payload   Int32       per example its ids, its segments if any is not zero, the words of its targets; padded to
///                           8 bytes
///     hashes    UInt64 [N]
///     offsets   Int64 [N+1] the start of each example in the payload, then the payload's length
///     lengths   Int32 [N]
///     labels    Int32 [N]   the class, or what `RowTargets` says
///     pages     UInt32      CRC32C of every page from payload to labels; the last page may be shorter
///
/// The header holds the checksum of the page table, so that a changed bit in any section is detected.
struct TokenFileHeader: Equatable, Sendable {
  static let byteCount = 8 * words
  static let version: UInt64 = 4
  /// Bytes of a page, which has its own checksum: ranks check different pages.
  static let pageBytes = 1 << 20
  private static let words = 24
  private static let magic: UInt64 = 0x4e4b_5454_524f_5452  // "RTORTTKN"

  var count = 0
  var payloadWords = 0
  var totalTokens = 0
  var longest = 0
  var largestID = -1
  var largestIDLine = 0
  var largestType = 0
  var largestTypeLine = 0
  var largestLabel = -1
  var cutRows = 0
  var firstCutLine = 0
  /// Rows with a negative label.
  var unlabelledRows = 0
  /// What the rows have as targets.
  var targets = RowTargets.label
  /// The tokens of a window, of which a longer text has several; 0: every text is one sequence.
  var window = 0
  /// CRC32C of the table of pages.
  var pagesChecksum: UInt32 = 0
  /// The content key, 64 hexadecimal digits.
  var key: String

  init(key: String) {
    precondition(key.utf8.count == 64, "a content key has 64 digits, not \(key.utf8.count)")
    self.key = key
  }

  /// The checked header at the start of `bytes`; nil if they are not a complete token file of this version.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= TokenFileHeader.byteCount else { return nil }
    let words = (0..<TokenFileHeader.words).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
    guard words[0] == TokenFileHeader.magic, words[1] == TokenFileHeader.version,
      words[TokenFileHeader.words - 1] == TokenFileHeader.checksum(words)
    else { return nil }
    func number(_ word: Int) -> Int { Int(truncatingIfNeeded: words[word]) }
    (count, payloadWords, totalTokens, longest) = (number(2), number(3), number(4), number(5))
    (largestID, largestIDLine, cutRows, firstCutLine) = (number(6), number(7), number(8), number(9))
    key = words[10..<14].map(TokenFileHeader.digits).joined()
    (largestType, largestTypeLine, largestLabel) = (number(14), number(15), number(16))
    pagesChecksum = UInt32(truncatingIfNeeded: words[17])
    unlabelledRows = number(18)
    targets = RowTargets(code: number(19))
    window = number(20)
    // Limits the counts by the file's size before they are multiplied.
    let possible = 0...bytes.count
    guard possible.contains(count), possible.contains(payloadWords), possible.contains(longest),
      (0...count).contains(unlabelledRows), window >= 0, fileBytes == bytes.count
    else { return nil }
  }

  /// The header as bytes.
  var bytes: [UInt8] {
    func word(_ number: Int) -> UInt64 { UInt64(bitPattern: Int64(number)) }
    let digits = Array(key.utf8)
    let key = (0..<4).map { part in
      UInt64(String(decoding: digits[(part * 16)..<(part * 16 + 16)], as: UTF8.self), radix: 16) ?? 0
    }
    var words = [TokenFileHeader.magic, TokenFileHeader.version]
    words += [count, payloadWords, totalTokens, longest, largestID, largestIDLine, cutRows, firstCutLine].map(word)
    words += key
    words += [largestType, largestTypeLine, largestLabel].map(word)
    words.append(UInt64(pagesChecksum))
    words += [unlabelledRows, targets.code, window].map(word)
    words += [UInt64](repeating: 0, count: TokenFileHeader.words - 1 - words.count)
    words.append(TokenFileHeader.checksum(words))
    return words.withUnsafeBytes { [UInt8]($0) }
  }

  var payloadOffset: Int { TokenFileHeader.byteCount }
  /// Zero bytes after the payload that align the following 64-bit words.
  var padding: Int { payloadWords % 2 * 4 }
  var hashesOffset: Int { payloadOffset + payloadWords * 4 + padding }
  var offsetsOffset: Int { hashesOffset + count * 8 }
  var lengthsOffset: Int { offsetsOffset + (count + 1) * 8 }
  var labelsOffset: Int { lengthsOffset + count * 4 }
  var pagesOffset: Int { labelsOffset + count * 4 }
  var pageCount: Int {
    (pagesOffset - payloadOffset + TokenFileHeader.pageBytes - 1) / TokenFileHeader.pageBytes
  }
  var fileBytes: Int { pagesOffset + pageCount * 4 }

  private static func digits(_ word: UInt64) -> String {
    let text = String(word, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }

  private static func checksum(_ words: [UInt64]) -> UInt64 {
    let halves = words.prefix(TokenFileHeader.words - 1).flatMap {
      [Int32(truncatingIfNeeded: $0), Int32(truncatingIfNeeded: $0 >> 32)]
    }
    return halves.withUnsafeBufferPointer { ContentHash.of(tokens: $0, typeIDs: nil) }
  }
}
