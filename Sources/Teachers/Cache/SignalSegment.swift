import Platform

/// Some teacher signals in one piece of memory: a mapped segment file, or what a rank has not written yet.
///
/// A file, in little-endian words; a record has a fixed size, so that a file that was cut still has its first ones:
///
///     header   72 bytes   magic · version · floats of an entry · bytes of a record · key (4 words) · checksum
///     records             hash · check · values [floats], padded to 8 bytes · checksum
///
/// Checksums are seeded with the key: a record counts only where header and record are whole and of this key.
struct SignalFormat: Equatable, Sendable {
  static let version: UInt64 = 1
  static let headerBytes = 72
  private static let magic: UInt64 = 0x4749_5354_524f_5452  // "RTORTSIG"
  private static let tail = 8

  /// Floats of an entry.
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

  /// Where the values of a record begin.
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

  /// How many whole records the bytes of a file have room for; 0 where the header is another one.
  func recordCount(_ bytes: UnsafeRawBufferPointer) -> Int {
    guard bytes.count >= SignalFormat.headerBytes, header.elementsEqual(bytes.prefix(SignalFormat.headerBytes))
    else { return 0 }
    return (bytes.count - SignalFormat.headerBytes) / recordBytes
  }

  /// Writes a record; `record` has `recordBytes` bytes and starts at a multiple of 8.
  func write(hash: UInt64, check: UInt64, values: UnsafePointer<Float>, to record: UnsafeMutableRawPointer) {
    record.storeBytes(of: hash, as: UInt64.self)
    record.storeBytes(of: check, toByteOffset: 8, as: UInt64.self)
    // The padding first, so that all bytes of a record are decided by its content.
    record.storeBytes(of: 0, toByteOffset: checksumOffset - 8, as: UInt64.self)
    (record + valuesOffset).copyMemory(from: values, byteCount: 4 * width)
    let sum = checksum(UnsafeRawBufferPointer(start: record, count: checksumOffset))
    record.storeBytes(of: sum, toByteOffset: checksumOffset, as: UInt64.self)
  }

  /// Whether a record is as it was written.
  func isWhole(_ record: UnsafeRawPointer) -> Bool {
    record.load(fromByteOffset: checksumOffset, as: UInt64.self)
      == checksum(UnsafeRawBufferPointer(start: record, count: checksumOffset))
  }

  /// A checksum of whole words that a changed bit anywhere changes.
  private func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var state = key[0]
    for offset in stride(from: 0, to: bytes.count, by: 8) {
      state = SignalFormat.fold(state, bytes.load(fromByteOffset: offset, as: UInt64.self))
    }
    return SignalFormat.finish(state)
  }

  /// Folds a word into a hash; one to one in either argument.
  static func fold(_ state: UInt64, _ word: UInt64) -> UInt64 {
    let mixed = (state ^ word) &* 0xd6e8_feb8_6659_fd93
    return (mixed ^ mixed >> 32) &* 0xa076_1d64_78bd_642f
  }

  /// Spreads the last words over all bits.
  static func finish(_ state: UInt64) -> UInt64 {
    let z = (state ^ state >> 29) &* 0xe703_7ed1_a0b4_28db
    return z ^ z >> 32
  }
}

/// Records in memory, with whatever holds the memory.
final class SignalSegment {
  /// The first record.
  let records: UnsafeRawPointer
  /// Records there is room for, whole or not.
  let count: Int
  private let mapped: MappedFile?
  private let memory: UnsafeMutableRawPointer?

  /// Maps a file; nil where it cannot be read or is no segment of this format and key.
  init?(mapping path: String, _ format: SignalFormat) {
    guard let mapped = try? MappedFile(path), let start = mapped.bytes.baseAddress else { return nil }
    count = format.recordCount(mapped.bytes)
    if count == 0 { return nil }
    records = start + SignalFormat.headerBytes
    self.mapped = mapped
    memory = nil
  }

  /// Takes over memory that was allocated for records.
  init(memory: UnsafeMutableRawPointer, count: Int) {
    records = UnsafeRawPointer(memory)
    self.count = count
    self.memory = memory
    mapped = nil
  }

  deinit { memory?.deallocate() }
}
