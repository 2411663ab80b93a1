/// Reads scalars from valid UTF-8.
enum UTF8Text {
  /// The scalar that starts at `index` and the index after it.
  static func scalar(at index: Int, in text: UnsafeBufferPointer<UInt8>) -> (scalar: Unicode.Scalar, next: Int) {
    let lead = UInt32(text[index])
    if lead < 0x80 { return (Unicode.Scalar(UInt8(lead)), index + 1) }
    let length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
    var value = lead & (0xff >> UInt32(length + 1))
    for offset in 1..<length { value = value << 6 | UInt32(text[index + offset] & 0x3f) }
    // Valid UTF-8 always gives a scalar; the replacement character keeps the function total.
    return (Unicode.Scalar(value) ?? "\u{fffd}", index + length)
  }

  /// The index after the scalar that starts at `index`.
  @inline(__always)
  static func end(ofScalarAt index: Int, in text: UnsafeBufferPointer<UInt8>) -> Int {
    let lead = text[index]
    return min(text.count, index + (lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4))
  }

  /// The scalar that ends just before `index` and the index of its first byte.
  static func scalar(before index: Int, in text: UnsafeBufferPointer<UInt8>) -> (scalar: Unicode.Scalar, start: Int) {
    var start = index - 1
    while start > 0 && text[start] & 0xc0 == 0x80 { start -= 1 }
    return (scalar(at: start, in: text).scalar, start)
  }

  /// The number of scalars in a range: the bytes that are not continuation bytes.
  static func scalarCount(_ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> Int {
    var count = 0
    for index in range where text[index] & 0xc0 != 0x80 { count += 1 }
    return count
  }

  static func append(_ scalar: Unicode.Scalar, to output: inout [UInt8]) {
    if scalar.isASCII {
      output.append(UInt8(truncatingIfNeeded: scalar.value))
    } else {
      output.append(contentsOf: UTF8.encode(scalar)!)
    }
  }
}
