/// Checks that bytes are UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
enum UTF8Check {
  /// The offset of the first byte that is not part of a valid sequence, or nil.
  static func firstInvalid(_ bytes: UnsafeRawBufferPointer) -> Int? {
    var at = 0
    let count = bytes.count
    while at < count {
      // Skips eight ASCII bytes at a time: most text is ASCII.
      while at + 8 <= count, bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self) & 0x8080_8080_8080_8080 == 0 {
        at += 8
      }
      if at >= count { return nil }
      let length = sequenceLength(bytes, at)
      if length == 0 { return at }
      at += length
    }
    return nil
  }

  /// The length of the sequence that starts at `at`, or 0 if it is not valid.
  private static func sequenceLength(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int {
    let first = bytes[at]
    if first < 0x80 { return 1 }
    let length: Int
    var low: UInt8 = 0x80
    var high: UInt8 = 0xbf
    switch first {
    case 0xc2...0xdf: length = 2
    case 0xe0...0xef:
      length = 3
      if first == 0xe0 { low = 0xa0 }
      if first == 0xed { high = 0x9f }
    case 0xf0...0xf4:
      length = 4
      if first == 0xf0 { low = 0x90 }
      if first == 0xf4 { high = 0x8f }
    default: return 0
    }
    guard at + length <= bytes.count, bytes[at + 1] >= low, bytes[at + 1] <= high else { return 0 }
    for offset in 2..<max(2, length) where bytes[at + offset] & 0xc0 != 0x80 { return 0 }
    return length
  }
}
