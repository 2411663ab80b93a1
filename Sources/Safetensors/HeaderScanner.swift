import Platform
import Tensors

/// One tensor's entry in a safetensors header, before it is checked against the file.
struct HeaderEntry {
  var name: String
  var dtype: String
  var shape: [Int]
  var begin: Int
  var end: Int
}

/// Parses the JSON header of a safetensors file.
///
/// A general JSON parser drops duplicate keys and rounds large integers; this parser refuses both.
struct HeaderScanner {
  private let bytes: UnsafeRawBufferPointer
  private let file: String
  private var position = 0
  /// The tensor whose entry is being read, for messages.
  private var tensor: String?

  private(set) var entries: [HeaderEntry] = []
  private(set) var metadata: [String: String] = [:]

  /// Parses a whole header; throws `.input` with the file, the tensor and the byte of the fault.
  init(_ bytes: UnsafeRawBufferPointer, file: String) throws {
    self.bytes = bytes
    self.file = file
    var seen = Set<String>()
    try object { scanner, key in
      guard seen.insert(key).inserted else { throw scanner.error("the key \(shown(key)) occurs twice in the header") }
      if key == "__metadata__" { try scanner.readMetadata() } else { try scanner.readEntry(key) }
    }
    skipSpace()
    if position < bytes.count { throw error("unexpected text after the header's closing brace") }
  }

  private mutating func readMetadata() throws {
    if try literal("null") { return }
    try object { scanner, key in
      let value = try scanner.string()
      guard scanner.metadata.updateValue(value, forKey: key) == nil else {
        throw scanner.error("the key \(shown(key)) occurs twice in __metadata__")
      }
    }
  }

  private mutating func readEntry(_ name: String) throws {
    tensor = name
    var dtype: String?
    var shape: [Int]?
    var offsets: [Int]?
    try object { scanner, key in
      switch key {
      case "dtype" where dtype == nil: dtype = try scanner.string()
      case "shape" where shape == nil: shape = try scanner.integers(limit: 64, "shape")
      case "data_offsets" where offsets == nil: offsets = try scanner.integers(limit: 2, "data_offsets")
      case "dtype", "shape", "data_offsets": throw scanner.error("the key \(shown(key)) occurs twice")
      default: throw scanner.error("unknown key \(shown(key)); dtype, shape and data_offsets are expected")
      }
    }
    guard let dtype else { throw error("has no dtype") }
    guard let shape else { throw error("has no shape") }
    guard let offsets else { throw error("has no data_offsets") }
    guard offsets.count == 2 else { throw error("data_offsets has \(offsets.count) numbers, 2 are expected") }
    entries.append(HeaderEntry(name: name, dtype: dtype, shape: shape, begin: offsets[0], end: offsets[1]))
    tensor = nil
  }

  // MARK: JSON

  private func error(_ what: String) -> RetortError {
    let place = tensor.map { "\(file), tensor \(shown($0))" } ?? "\(file), header"
    return RetortError(.input, "\(what) (byte \(position) of the header)", at: place)
  }

  private mutating func skipSpace() {
    while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
  }

  /// Skips space and consumes `character` if it is next.
  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws {
    if !take(character) { throw error("not valid JSON: '\(character)' was expected") }
  }

  private mutating func literal(_ word: String) throws -> Bool {
    skipSpace()
    guard bytes[position...].starts(with: word.utf8) else { return false }
    position += word.utf8.count
    return true
  }

  /// `{ key: …, … }`; `member` reads each value.
  private mutating func object(_ member: (inout HeaderScanner, String) throws -> Void) throws {
    try expect("{")
    if take("}") { return }
    repeat {
      let key = try string()
      try expect(":")
      try member(&self, key)
    } while take(",")
    try expect("}")
  }

  /// `[ i, … ]` of integers ≥ 0.
  private mutating func integers(limit: Int, _ what: String) throws -> [Int] {
    var values: [Int] = []
    try expect("[")
    if take("]") { return values }
    repeat {
      guard values.count < limit else { throw error("\(what) has more than \(limit) numbers") }
      values.append(try integer(what))
    } while take(",")
    try expect("]")
    return values
  }

  private mutating func integer(_ what: String) throws -> Int {
    skipSpace()
    let start = position
    let isNumeric: (UInt8) -> Bool = { (0x30...0x39).contains($0) || [0x2B, 0x2D, 0x2E, 0x45, 0x65].contains($0) }
    while position < bytes.count, isNumeric(bytes[position]) { position += 1 }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if text.isEmpty { throw error("\(what) holds something that is not a number") }
    let digits = text.utf8.drop { $0 == UInt8(ascii: "-") }
    if !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }) {
      if text.hasPrefix("-") { throw error("\(what) holds the negative number \(text.prefix(40))") }
      if text.hasPrefix("0") && text.utf8.count > 1 { throw error("\(what) holds \(text.prefix(40)), not valid JSON") }
      if let value = Int(text) { return value }
      throw error("\(what) holds \(text.prefix(40)), which does not fit 64 bits")
    }
    throw error("\(what) holds \(text.prefix(40)), which is not a whole number")
  }

  private mutating func string() throws -> String {
    try expect("\"")
    let start = position
    while position < bytes.count {
      switch bytes[position] {
      case UInt8(ascii: "\""):
        defer { position += 1 }
        return try decoded(bytes[start..<position])
      case UInt8(ascii: "\\"):
        position = start
        return try escapedString()
      case 0..<0x20: throw error("not valid JSON: a control character in a string")
      default: position += 1
      }
    }
    throw error("not valid JSON: a string has no end")
  }

  private func decoded(_ utf8: some Collection<UInt8>) throws -> String {
    guard let text = String(validating: utf8, as: UTF8.self) else { throw error("a string is not valid UTF-8") }
    return text
  }

  /// The slow path for a string with backslashes, from its first byte.
  private mutating func escapedString() throws -> String {
    var out: [UInt8] = []
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return try decoded(out)
      case UInt8(ascii: "\\"):
        do { try JSONEscape.decode(bytes, at: &position, into: &out) } catch {
          throw self.error("not valid JSON: \(error.what)")
        }
      case 0..<0x20: throw error("not valid JSON: a control character in a string")
      default: out.append(byte)
      }
    }
    throw error("not valid JSON: a string has no end")
  }
}
