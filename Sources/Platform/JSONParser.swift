/// Reads JSON as Python's `json` writes and reads it: RFC 8259, and the words NaN, Infinity and -Infinity for numbers.
///
/// Nesting is bounded and every byte is read once, so a file cannot exhaust stack or memory. The last of several
/// members with one name counts, an integer beyond 64 bits becomes a floating-point number, and half a surrogate pair
/// becomes the replacement character.
struct JSONParser {
  /// What is wrong and the offset of the byte.
  struct Fault: Error {
    let what: String
    let offset: Int
  }

  /// The deepest nesting that is read; it bounds the stack, and no configuration comes near it.
  static let deepest = 256

  private let bytes: UnsafeRawBufferPointer
  private var at = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Parses the bytes as exactly one value.
  mutating func document() throws(Fault) -> JSON {
    if bytes.starts(with: [0xff, 0xfe]) || bytes.starts(with: [0xfe, 0xff]) {
      throw fault("the text is UTF-16; JSON files are UTF-8")
    }
    // Some editors put a byte order mark before UTF-8 too.
    if bytes.starts(with: [0xef, 0xbb, 0xbf]) { at = 3 }
    skipSpace()
    if at == bytes.count { throw fault(bytes.isEmpty ? "the text is empty" : "the text holds no value") }
    let value = try value(depth: 0)
    skipSpace()
    if at < bytes.count { throw fault("more text follows the value") }
    return value
  }

  /// The line and column of a byte, both from 1; columns count bytes.
  static func place(of offset: Int, in bytes: UnsafeRawBufferPointer) -> (line: Int, column: Int) {
    let before = bytes.prefix(offset)
    let line = before.reduce(1) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
    let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    return (line, offset - start + 1)
  }

  private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

  private func fault(_ what: String) -> Fault { Fault(what: what, offset: at) }

  private mutating func skipSpace() {
    while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x0a || bytes[at] == 0x0d || bytes[at] == 0x09 { at += 1 }
  }

  private mutating func value(depth: Int) throws(Fault) -> JSON {
    switch peek {
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "{"): return try object(depth: depth + 1)
    case UInt8(ascii: "["): return try array(depth: depth + 1)
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "N"): return try word("NaN", .double(.nan))
    case UInt8(ascii: "I"): return try word("Infinity", .double(.infinity))
    case nil: throw fault("the text ends where a value was expected")
    default: return try number()
    }
  }

  private mutating func word(_ word: StaticString, _ value: JSON) throws(Fault) -> JSON {
    let matches = word.withUTF8Buffer { bytes[at...].starts(with: $0) }
    guard matches else { throw fault("a value was expected") }
    at += word.utf8CodeUnitCount
    return value
  }

  private mutating func object(depth: Int) throws(Fault) -> JSON {
    if depth > JSONParser.deepest { throw fault("values are nested deeper than \(JSONParser.deepest)") }
    at += 1
    var members: [String: JSON] = [:]
    skipSpace()
    if take("}") { return .object(members) }
    while true {
      skipSpace()
      guard peek == UInt8(ascii: "\"") else { throw fault("a name in quotes was expected") }
      let name = try string()
      skipSpace()
      guard take(":") else { throw fault("a colon was expected after a name") }
      skipSpace()
      members[name] = try value(depth: depth)
      skipSpace()
      if take("}") { return .object(members) }
      guard take(",") else { throw fault(peek == nil ? "an object has no end" : "a comma or } was expected") }
    }
  }

  private mutating func array(depth: Int) throws(Fault) -> JSON {
    if depth > JSONParser.deepest { throw fault("values are nested deeper than \(JSONParser.deepest)") }
    at += 1
    var values: [JSON] = []
    skipSpace()
    if take("]") { return .array(values) }
    while true {
      skipSpace()
      values.append(try value(depth: depth))
      skipSpace()
      if take("]") { return .array(values) }
      guard take(",") else { throw fault(peek == nil ? "a list has no end" : "a comma or ] was expected") }
    }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard peek == UInt8(ascii: character) else { return false }
    at += 1
    return true
  }

  private mutating func digits() -> Int {
    let start = at
    while at < bytes.count, (0x30...0x39).contains(bytes[at]) { at += 1 }
    return at - start
  }

  private mutating func number() throws(Fault) -> JSON {
    let start = at
    let isNegative = take("-")
    if isNegative, peek == UInt8(ascii: "I") {
      _ = try word("Infinity", .null)
      return .double(-.infinity)
    }
    let first = peek
    let whole = digits()
    if whole == 0 || first == UInt8(ascii: "0") && whole > 1 {
      at = start
      throw fault(whole == 0 ? "a value was expected" : "a number may not begin with zeros")
    }
    var isInteger = true
    if take(".") {
      isInteger = false
      if digits() == 0 { throw fault("digits were expected after the decimal point") }
    }
    if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
      isInteger = false
      at += 1
      if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { at += 1 }
      if digits() == 0 { throw fault("digits were expected in the exponent") }
    }
    let text = String(decoding: bytes[start..<at], as: UTF8.self)
    if isInteger, let value = Int(text) { return .int(value) }
    guard let value = Double(text) else { throw fault("a number was expected") }
    return .double(value)
  }

  private mutating func string() throws(Fault) -> String {
    at += 1
    let start = at
    // Most strings have no escapes and are copied whole.
    while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\"), bytes[at] >= 0x20 {
      at += 1
    }
    if take("\"") { return try text(bytes[start..<(at - 1)], from: start) }
    var out = [UInt8](bytes[start..<at])
    while let byte = peek {
      if take("\"") { return try text(out, from: start) }
      if byte < 0x20 { throw fault("a string contains a control character") }
      at += 1
      if byte == UInt8(ascii: "\\") { try escape(into: &out) } else { out.append(byte) }
    }
    throw fault("a string has no end")
  }

  private func text(_ utf8: some Collection<UInt8>, from start: Int) throws(Fault) -> String {
    guard let text = String(validating: utf8, as: UTF8.self) else {
      throw Fault(what: "a string is not UTF-8", offset: start)
    }
    return text
  }

  private mutating func escape(into out: inout [UInt8]) throws(Fault) {
    var next = at
    do {
      try JSONEscape.decode(bytes, at: &next, into: &out)
      at = next
    } catch {
      // Python writes half a surrogate pair if its text contains one; a Swift string cannot hold it.
      guard error.isLoneSurrogate, at + 5 <= bytes.count else { throw fault(error.what) }
      out.append(contentsOf: [0xef, 0xbf, 0xbd])
      at += 5
    }
  }
}
