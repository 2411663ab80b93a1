/// Reads the fields of a message in protobuf's wire format, in the order in which they are written.
///
///     field = varint (number × 8 + kind), value
///     kind 0: a varint    1: eight bytes    2: a varint, the length, and as many bytes    5: four bytes
struct ProtobufReader {
  enum Value {
    case integer(UInt64)
    case bytes(UnsafeBufferPointer<UInt8>)
    case fixed32(UInt32)
    case fixed64
  }

  /// Why a message cannot be read.
  struct Damage: Error {
    /// The byte, from the beginning of the message.
    let position: Int
    let what: String
  }

  private let bytes: UnsafeBufferPointer<UInt8>
  private var index = 0

  init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

  /// The next field; nil at the end of the message.
  mutating func next() throws(Damage) -> (number: Int, value: Value)? {
    if index == bytes.count { return nil }
    let start = index
    let key = try varint()
    // Larger numbers are not valid field numbers.
    guard let number = Int(exactly: key >> 3), (1...536_870_911).contains(number) else {
      throw Damage(position: start, what: "a field has the number \(key >> 3)")
    }
    switch key & 7 {
    case 0: return (number, .integer(try varint()))
    case 1:
      _ = try take(8)
      return (number, .fixed64)
    case 2: return (number, .bytes(try take(try varint())))
    case 5: return (number, .fixed32(try take(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }))
    default: throw Damage(position: start, what: "field \(number) has the unknown kind \(key & 7)")
    }
  }

  private mutating func take(_ count: UInt64) throws(Damage) -> UnsafeBufferPointer<UInt8> {
    guard count <= UInt64(bytes.count - index) else {
      throw Damage(position: index, what: "a field of \(count) bytes, but only \(bytes.count - index) follow")
    }
    let start = index
    index += Int(count)
    return UnsafeBufferPointer(rebasing: bytes[start..<index])
  }

  private mutating func varint() throws(Damage) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard index < bytes.count else { throw Damage(position: index, what: "the file ends inside a number") }
      let byte = bytes[index]
      index += 1
      // Bits beyond the 64th are dropped, as protobuf's own readers do.
      if shift < 64 { value |= UInt64(byte & 0x7f) << shift }
      if byte < 0x80 { return value }
    }
    throw Damage(position: index, what: "a number has more than 10 bytes")
  }
}
