import Platform

/// The head of a token file: what it holds and how much of it.
///
/// A file of N examples, in little-endian words, and the same image in memory where nothing can be written:
///
///     header    128 bytes   16 words of 64 bits, the last one a checksum of the others
///     payload   Int32       per example its ids, followed by its segments where not all are zero; padded to 8 bytes
///     hashes    UInt64 [N]
///     offsets   Int64 [N+1] where each example starts in the payload, and the payload's length
///     lengths   Int32 [N]
///     labels    Int32 [N]   the class; of a document the number of its tokens that are prompt
struct TokenFileHeader: Equatable, Sendable {
  static let byteCount = 128
  static let version: UInt64 = 1
  private static let magic: UInt64 = 0x4e4b_5454_524f_5452  // "RTORTTKN"

  var count = 0
  var payloadWords = 0
  var totalTokens = 0
  var longest = 0
  var largestID = -1
  var largestIDLine = 0
  var cutRows = 0
  var firstCutLine = 0
  /// The content key, 64 hexadecimal digits.
  var key: String

  init(key: String) {
    precondition(key.utf8.count == 64, "a content key has 64 digits, not \(key.utf8.count)")
    self.key = key
  }

  /// The checked header at the start of `bytes`, or nil where this is no whole token file of this version.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= TokenFileHeader.byteCount else { return nil }
    let words = (0..<16).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
    guard words[0] == TokenFileHeader.magic, words[1] == TokenFileHeader.version,
      words[15] == TokenFileHeader.checksum(words)
    else { return nil }
    key = words[10..<14].map(TokenFileHeader.digits).joined()
    count = Int(truncatingIfNeeded: words[2])
    payloadWords = Int(truncatingIfNeeded: words[3])
    totalTokens = Int(truncatingIfNeeded: words[4])
    longest = Int(truncatingIfNeeded: words[5])
    largestID = Int(truncatingIfNeeded: words[6])
    largestIDLine = Int(truncatingIfNeeded: words[7])
    cutRows = Int(truncatingIfNeeded: words[8])
    firstCutLine = Int(truncatingIfNeeded: words[9])
    let possible = 0...bytes.count
    guard possible.contains(count), possible.contains(payloadWords), fileBytes == bytes.count else { return nil }
  }

  /// The header as 128 bytes.
  var bytes: [UInt8] {
    var words = [
      TokenFileHeader.magic, TokenFileHeader.version, UInt64(count), UInt64(payloadWords), UInt64(totalTokens),
      UInt64(longest), UInt64(bitPattern: Int64(largestID)), UInt64(largestIDLine), UInt64(cutRows),
      UInt64(firstCutLine),
    ]
    let digits = Array(key.utf8)
    for part in 0..<4 {
      words.append(UInt64(String(decoding: digits[(part * 16)..<(part * 16 + 16)], as: UTF8.self), radix: 16) ?? 0)
    }
    words.append(0)
    words.append(TokenFileHeader.checksum(words))
    return words.withUnsafeBytes { [UInt8]($0) }
  }

  var payloadOffset: Int { TokenFileHeader.byteCount }
  /// Zero bytes after the payload, so that 64-bit words follow aligned.
  var padding: Int { payloadWords % 2 * 4 }
  var hashesOffset: Int { payloadOffset + payloadWords * 4 + padding }
  var offsetsOffset: Int { hashesOffset + count * 8 }
  var lengthsOffset: Int { offsetsOffset + (count + 1) * 8 }
  var labelsOffset: Int { lengthsOffset + count * 4 }
  var fileBytes: Int { labelsOffset + count * 4 }

  private static func digits(_ word: UInt64) -> String {
    let text = String(word, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }

  private static func checksum(_ words: [UInt64]) -> UInt64 {
    let halves = words.prefix(15).flatMap {
      [Int32(truncatingIfNeeded: $0), Int32(truncatingIfNeeded: $0 >> 32)]
    }
    return halves.withUnsafeBufferPointer { ContentHash.of(tokens: $0, typeIDs: nil) }
  }
}

/// Writes a token file, or the same image in memory.
final class TokenFileWriter {
  private var header: TokenFileHeader
  private let file: AtomicFile?
  private var image: [UInt8] = []
  private var hashes: [UInt64] = []
  private var offsets: [Int64] = [0]
  private var lengths: [Int32] = []
  private var labels: [Int32] = []

  /// Starts a file that appears under `path` when it is finished, or an image in memory where `path` is nil.
  init(key: String, path: String?) throws {
    header = TokenFileHeader(key: key)
    file = try path.map(AtomicFile.init)
    try write([UInt8](repeating: 0, count: TokenFileHeader.byteCount))
  }

  func append(_ rows: TokenRows) throws {
    try write(rows.payload)
    var end = header.payloadWords
    for (row, length) in rows.lengths.enumerated() {
      end += Int(length) * (rows.hasTypes[row] ? 2 : 1)
      offsets.append(Int64(end))
      header.totalTokens += Int(length)
      header.longest = max(header.longest, Int(length))
    }
    hashes += rows.hashes
    lengths += rows.lengths
    labels += rows.labels
    header.payloadWords = end
    header.count += rows.lengths.count
    if Int(rows.largestID) > header.largestID {
      header.largestID = Int(rows.largestID)
      header.largestIDLine = Int(rows.largestIDLine)
    }
    if header.cutRows == 0 { header.firstCutLine = Int(rows.firstCutLine) }
    header.cutRows += Int(rows.cutRows)
  }

  /// Completes the file and gives it its name; returns the image where there is no file.
  func finish() throws -> [UInt8]? {
    try write([UInt8](repeating: 0, count: header.padding))
    try write(hashes)
    try write(offsets)
    try write(lengths)
    try write(labels)
    let head = header.bytes
    guard let file else {
      image.replaceSubrange(0..<head.count, with: head)
      return image
    }
    try head.withUnsafeBytes { try file.write($0, at: 0) }
    try file.commit()
    return nil
  }

  private func write<T: BitwiseCopyable>(_ values: [T]) throws {
    try values.withUnsafeBytes { bytes in
      if let file { try file.write(bytes) } else { image.append(contentsOf: bytes) }
    }
  }
}

/// A token file mapped into memory, or its image, checked so that no index in it leads outside.
final class TokenFile: @unchecked Sendable {
  // Unchecked: everything is written before `init` returns and only read afterwards.
  let header: TokenFileHeader
  let payload: UnsafePointer<Int32>
  let hashes: UnsafePointer<UInt64>
  let offsets: UnsafePointer<Int64>
  let lengths: UnsafePointer<Int32>
  let labels: UnsafePointer<Int32>
  private let mapped: MappedFile?
  private let image: UnsafeMutableRawBufferPointer?

  /// Maps a file; nil where it is missing, cut, of another version, or made for another key.
  init?(path: String, key: String) {
    guard let mapped = try? MappedFile(path), let header = TokenFileHeader(mapped.bytes), header.key == key,
      let base = mapped.bytes.baseAddress
    else { return nil }
    self.mapped = mapped
    self.header = header
    image = nil
    (payload, hashes, offsets, lengths, labels) = TokenFile.sections(base, header)
    if !isConsistent { return nil }
  }

  /// Takes over the image that a writer made in memory.
  init(image source: [UInt8]) {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 16)
    copy.copyBytes(from: source)
    guard let header = TokenFileHeader(UnsafeRawBufferPointer(copy)), let base = copy.baseAddress else {
      preconditionFailure("the image of a token file must be whole")
    }
    self.header = header
    mapped = nil
    image = copy
    (payload, hashes, offsets, lengths, labels) = TokenFile.sections(UnsafeRawPointer(base), header)
  }

  deinit { image?.deallocate() }

  private static func sections(_ base: UnsafeRawPointer, _ header: TokenFileHeader) -> (
    UnsafePointer<Int32>, UnsafePointer<UInt64>, UnsafePointer<Int64>, UnsafePointer<Int32>, UnsafePointer<Int32>
  ) {
    func section<T>(_ offset: Int, _ count: Int, _ type: T.Type) -> UnsafePointer<T> {
      (base + offset).bindMemory(to: type, capacity: count)
    }
    return (
      section(header.payloadOffset, header.payloadWords, Int32.self),
      section(header.hashesOffset, header.count, UInt64.self),
      section(header.offsetsOffset, header.count + 1, Int64.self),
      section(header.lengthsOffset, header.count, Int32.self),
      section(header.labelsOffset, header.count, Int32.self)
    )
  }

  /// Whether the offsets rise from 0 to the payload's length in steps of one or two lengths.
  private var isConsistent: Bool {
    guard offsets[0] == 0, offsets[header.count] == header.payloadWords else { return false }
    for index in 0..<header.count {
      let length = Int64(lengths[index])
      let step = offsets[index + 1] &- offsets[index]
      if length <= 0 || length > header.longest || (step != length && step != 2 * length) { return false }
    }
    return true
  }
}
