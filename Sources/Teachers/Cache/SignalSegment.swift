import Platform

/// The format of teacher signals in one piece of memory: a mapped segment file, or records that are not written yet.
///
/// A file has little-endian words; records have a fixed size, so the first ones of a truncated file stay readable:
///
///     header   72 bytes   magic · version · floats of an entry · bytes of a record · key (4 words) · checksum
///     records             hash · check · values [floats], padded to 8 bytes · checksum
///
/// Checksums are seeded with the key: a record is valid only if header and record are undamaged and have this key.
struct SignalFormat: Equatable, Sendable {
  static let version: UInt64 = 1
  static let headerBytes = 72
  private static let magic: UInt64 = 0x4749_5354_524f_5452  // "RTORTSIG"
  private static let tail = 8

  /// The floats of an entry.
  let width: Int
  /// The four words of the key.
  let key: [UInt64]

  /// - Parameter key: 64 hexadecimal digits.
  init(width: Int, key: String) {
    precondition(width > 0 && key.utf8.count == 64, "\(width) floats under the key \(key)")
    self.width = width
    let digits = Array(key.utf8)
    self.key = (0..<4).map { UInt64(String(decoding: digits[$0 * 16..<$0 * 16 + 16], as: UTF8.self), radix: 16) ?? 0 }
  }

  /// The offset of the values in a record.
  var valuesOffset: Int { 16 }
  private var checksumOffset: Int { valuesOffset + (4 * width + 7) / 8 * 8 }
  /// Bytes of a record, a multiple of 8.
  var recordBytes: Int { checksumOffset + SignalFormat.tail }

  /// The header of a file.
  var header: [UInt8] {
    var words = [SignalFormat.magic, SignalFormat.version, UInt64(width), UInt64(recordBytes)] + key
    words.append(words.withUnsafeBytes { checksum($0) })
    return words.withUnsafeBytes { [UInt8]($0) }
  }

  /// The number of complete records in the bytes of a file; 0 if the header differs.
  func recordCount(_ bytes: UnsafeRawBufferPointer) -> Int {
    guard bytes.count >= SignalFormat.headerBytes, header.elementsEqual(bytes.prefix(SignalFormat.headerBytes))
    else { return 0 }
    return (bytes.count - SignalFormat.headerBytes) / recordBytes
  }

  /// Writes a record; `record` has `recordBytes` bytes and starts at a multiple of 8.
  func write(hash: UInt64, check: UInt64, values: UnsafePointer<Float>, to record: UnsafeMutableRawPointer) {
    record.storeBytes(of: hash, as: UInt64.self)
    record.storeBytes(of: check, toByteOffset: 8, as: UInt64.self)
    // Clear the padding first, so that all bytes of a record depend only on its content.
    record.storeBytes(of: 0, toByteOffset: checksumOffset - 8, as: UInt64.self)
    (record + valuesOffset).copyMemory(from: values, byteCount: 4 * width)
    let sum = checksum(UnsafeRawBufferPointer(start: record, count: checksumOffset))
    record.storeBytes(of: sum, toByteOffset: checksumOffset, as: UInt64.self)
  }

  /// Whether a record is undamaged.
  func isWhole(_ record: UnsafeRawPointer) -> Bool {
    record.load(fromByteOffset: checksumOffset, as: UInt64.self)
      == checksum(UnsafeRawBufferPointer(start: record, count: checksumOffset))
  }

  /// A checksum of whole words that changes with any bit.
  private func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var state = key[0]
    for offset in stride(from: 0, to: bytes.count, by: 8) {
      state = SignalFormat.fold(state, bytes.load(fromByteOffset: offset, as: UInt64.self))
    }
    return SignalFormat.finish(state)
  }

  /// Folds a word into a hash; bijective in either argument.
  static func fold(_ state: UInt64, _ word: UInt64) -> UInt64 {
    let mixed = (state ^ word) &* 0xd6e8_feb8_6659_fd93
    return (mixed ^ mixed >> 32) &* 0xa076_1d64_78bd_642f
  }

  /// Mixes the last words into all bits.
  static func finish(_ state: UInt64) -> UInt64 {
    let z = (state ^ state >> 29) &* 0xe703_7ed1_a0b4_28db
    return z ^ z >> 32
  }
}

/// Records in memory, with the owner of the memory.
final class SignalSegment {
  /// The first record.
  let records: UnsafeRawPointer
  /// The number of records, damaged ones included.
  let count: Int
  private let mapped: MappedFile?
  private let memory: UnsafeMutableRawPointer?

  /// Maps a file; nil if it cannot be read or is not a segment of this format and key.
  init?(mapping path: String, _ format: SignalFormat) {
    guard let mapped = try? MappedFile(path), let start = mapped.bytes.baseAddress else { return nil }
    count = format.recordCount(mapped.bytes)
    if count == 0 { return nil }
    records = start + SignalFormat.headerBytes
    self.mapped = mapped
    memory = nil
  }

  /// Takes ownership of allocated memory with records.
  init(memory: UnsafeMutableRawPointer, count: Int) {
    records = UnsafeRawPointer(memory)
    self.count = count
    self.memory = memory
    mapped = nil
  }

  deinit { memory?.deallocate() }
}
