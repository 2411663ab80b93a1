/// Decodes the escapes of JSON strings (RFC 8259, section 7) byte by byte.
package enum JSONEscape {
  /// An invalid escape.
  package struct Fault: Error {
    /// What is wrong, a few words.
    package let what: String
    /// Whether it is half of a surrogate pair: four valid digits that encode no character.
    package var isLoneSurrogate = false
  }

  /// Decodes one escape and appends it as UTF-8.
  ///
  /// - Parameters:
  ///   - index: the byte after the backslash; on return the byte after the escape.
  package static func decode(_ bytes: UnsafeRawBufferPointer, at index: inout Int, into out: inout [UInt8])
    throws(Fault)
  {
    guard index < bytes.count else { throw Fault(what: "a string has no end") }
    let byte = bytes[index]
    index += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
    case UInt8(ascii: "b"): out.append(0x08)
    case UInt8(ascii: "f"): out.append(0x0c)
    case UInt8(ascii: "n"): out.append(0x0a)
    case UInt8(ascii: "r"): out.append(0x0d)
    case UInt8(ascii: "t"): out.append(0x09)
    case UInt8(ascii: "u"): out.append(contentsOf: UTF8.encode(try scalar(bytes, at: &index))!)
    default: throw Fault(what: "an unknown escape in a string")
    }
  }

  /// A code unit, or the two of a surrogate pair.
  private static func scalar(_ bytes: UnsafeRawBufferPointer, at index: inout Int) throws(Fault) -> Unicode.Scalar {
    var code = try codeUnit(bytes, at: &index)
    if (0xd800..<0xdc00).contains(code) {
      guard index + 2 <= bytes.count, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u") else {
        throw Fault(what: "half of a surrogate pair", isLoneSurrogate: true)
      }
      index += 2
      let low = try codeUnit(bytes, at: &index)
      guard (0xdc00..<0xe000).contains(low) else {
        throw Fault(what: "half of a surrogate pair", isLoneSurrogate: true)
      }
      code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
    }
    guard let scalar = Unicode.Scalar(code) else {
      throw Fault(what: "half of a surrogate pair", isLoneSurrogate: true)
    }
    return scalar
  }

  /// Four hexadecimal digits.
  private static func codeUnit(_ bytes: UnsafeRawBufferPointer, at index: inout Int) throws(Fault) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard index < bytes.count else { throw Fault(what: "a string has no end") }
      guard let digit = Character(Unicode.Scalar(bytes[index])).hexDigitValue else {
        throw Fault(what: "four hexadecimal digits were expected")
      }
      code = code << 4 | UInt32(digit)
      index += 1
    }
    return code
  }
}
