import Foundation
import Platform

/// Converts UTF-16 text with a byte order mark, and refuses UTF-16 without one.
enum UTF16Text {
  /// The text as UTF-8 without the byte order mark, which the caller deallocates; nil if the text is not UTF-16.
  ///
  /// Throws `.input` for UTF-16 without a byte order mark, UTF-32, and unpaired surrogates.
  static func utf8(of bytes: UnsafeRawBufferPointer, path: String) throws -> UnsafeMutableRawBufferPointer? {
    let start = Array(bytes.prefix(4))
    if start == [0xff, 0xfe, 0, 0] || start == [0, 0, 0xfe, 0xff] { throw refusal("UTF-32", "UTF-32", path) }
    if start.starts(with: [0xff, 0xfe]) { return try convert(bytes, isLittleEndian: true, path) }
    if start.starts(with: [0xfe, 0xff]) { return try convert(bytes, isLittleEndian: false, path) }
    // In UTF-16 half of the bytes of Western text are zero; UTF-8 text has no zero bytes.
    let sample = bytes.prefix(4096)
    let pairs = sample.count / 2
    guard pairs > 0 else { return nil }
    var zeros = (even: 0, odd: 0)
    for (place, byte) in sample.enumerated() where byte == 0 {
      if place % 2 == 0 { zeros.even += 1 } else { zeros.odd += 1 }
    }
    if zeros.odd * 3 > pairs, zeros.even * 10 < pairs {
      throw refusal("UTF-16 (little-endian) without a byte order mark", "UTF-16LE", path)
    }
    if zeros.even * 3 > pairs, zeros.odd * 10 < pairs {
      throw refusal("UTF-16 (big-endian) without a byte order mark", "UTF-16BE", path)
    }
    return nil
  }

  private static func refusal(_ what: String, _ name: String, _ path: String) -> RetortError {
    RetortError(
      .input, "the text is \(what), UTF-8 was expected", at: path,
      remedy: "convert the file: iconv -f \(name) -t UTF-8 \(fileName(of: path))")
  }

  private static func convert(_ bytes: UnsafeRawBufferPointer, isLittleEndian: Bool, _ path: String) throws
    -> UnsafeMutableRawBufferPointer
  {
    if bytes.count % 2 != 0 {
      throw RetortError(
        .input, "the UTF-16 text ends within a character", at: path, remedy: "copy or make the file again")
    }
    // A 16-bit unit becomes at most three bytes.
    let room = max(1, bytes.count / 2 * 3)
    let out = UnsafeMutableRawPointer.allocate(byteCount: room, alignment: 16)
    let (low, high) = isLittleEndian ? (0, 1) : (1, 0)
    var (at, written, line) = (2, 0, 1)
    func put(_ byte: UInt32) {
      out.storeBytes(of: UInt8(truncatingIfNeeded: byte), toByteOffset: written, as: UInt8.self)
      written += 1
    }
    func unit(_ at: Int) -> UInt32 { UInt32(bytes[at + low]) | UInt32(bytes[at + high]) << 8 }
    while at < bytes.count {
      var code = unit(at)
      at += 2
      if code == 0x0a { line += 1 }
      if (0xd800...0xdfff).contains(code) {
        let second = code < 0xdc00 && at < bytes.count ? unit(at) : 0
        guard (0xdc00...0xdfff).contains(second) else {
          out.deallocate()
          throw RetortError(
            .input, "the UTF-16 text holds half a character", at: "\(path):\(line)",
            remedy: "write the file again, best as UTF-8")
        }
        code = 0x10000 + (code - 0xd800) << 10 + (second - 0xdc00)
        at += 2
      }
      switch code {
      case ..<0x80: put(code)
      case ..<0x800:
        put(0xc0 | code >> 6)
        put(0x80 | code & 0x3f)
      case ..<0x10000:
        put(0xe0 | code >> 12)
        put(0x80 | code >> 6 & 0x3f)
        put(0x80 | code & 0x3f)
      default:
        put(0xf0 | code >> 18)
        put(0x80 | code >> 12 & 0x3f)
        put(0x80 | code >> 6 & 0x3f)
        put(0x80 | code & 0x3f)
      }
    }
    return UnsafeMutableRawBufferPointer(start: out, count: written)
  }
}
