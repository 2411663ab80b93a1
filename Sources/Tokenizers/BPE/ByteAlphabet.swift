/// The printable character that represents each byte in byte-level vocabularies (Radford et al., 2019).
///
/// Printable Latin-1 bytes represent themselves; the 68 others are U+0100, U+0101, … in order: a space is "Ġ".
enum ByteAlphabet {
  /// Character by byte.
  static let scalars: [Unicode.Scalar] = {
    let printable = Set((0x21...0x7e).map { $0 } + (0xa1...0xac).map { $0 } + (0xae...0xff).map { $0 })
    var next: UInt32 = 0x100
    return (0..<256).map { byte in
      if printable.contains(byte) { return Unicode.Scalar(UInt8(byte)) }
      defer { next += 1 }
      return Unicode.Scalar(next) ?? "\u{fffd}"
    }
  }()

  private static let byteByScalar: [UInt8?] = {
    var table = [UInt8?](repeating: nil, count: 0x180)
    for (byte, scalar) in scalars.enumerated() { table[Int(scalar.value)] = UInt8(byte) }
    return table
  }()

  /// The bytes that a token represents; nil if it has a character outside the alphabet.
  static func bytes(of token: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(token.utf8.count)
    for scalar in token.unicodeScalars {
      guard scalar.value < 0x180, let byte = byteByScalar[Int(scalar.value)] else { return nil }
      bytes.append(byte)
    }
    return bytes
  }
}
