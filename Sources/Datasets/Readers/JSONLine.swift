import Platform

/// Parses one line of JSON Lines from its bytes: an object whose selected members are kept.
///
/// The whole line is checked against RFC 8259, except that `NaN` and `Infinity` are accepted. The bytes must be valid
/// UTF-8.
struct JSONLine {
  /// A syntax error and its byte in the line (counted from 1).
  struct Failure: Error {
    let what: String
    let column: Int
  }

  private let bytes: UnsafeRawBufferPointer
  private var at = 0
  private static let deepest = 64

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Visits the members in the order of the line; `keep` returns for each name whether `found` receives its value.
  mutating func members(keep: (String) -> Bool, found: (String, FieldValue) -> Void) throws(Failure) {
    skipSpace()
    guard peek == UInt8(ascii: "{") else { throw failure("a JSON object in braces was expected") }
    try walkObject(depth: 0) { line, name throws(Failure) in
      if keep(name) {
        let value = try line.value(depth: 1)
        found(name, value)
      } else {
        try line.skip(depth: 1)
      }
    }
    skipSpace()
    if at < bytes.count { throw failure("more text follows the object") }
  }

  private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

  private func failure(_ what: String) -> Failure { Failure(what: what, column: at + 1) }

  private mutating func skipSpace() {
    while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x09 || bytes[at] == 0x0d || bytes[at] == 0x0a { at += 1 }
  }

  /// `{ "name": value, … }`; `member` must consume the value.
  private mutating func walkObject(
    depth: Int, _ member: (inout JSONLine, String) throws(Failure) -> Void
  ) throws(Failure) {
    at += 1
    skipSpace()
    if peek == UInt8(ascii: "}") {
      at += 1
      return
    }
    while true {
      skipSpace()
      guard peek == UInt8(ascii: "\"") else { throw failure("a name in quotes was expected") }
      let name = try string()
      skipSpace()
      guard peek == UInt8(ascii: ":") else { throw failure("a colon was expected after \(quoted(name))") }
      at += 1
      try member(&self, name)
      skipSpace()
      if peek == UInt8(ascii: ",") {
        at += 1
      } else if peek == UInt8(ascii: "}") {
        at += 1
        return
      } else {
        throw failure(peek == nil ? "the line ends inside the object" : "a comma or a closing brace was expected")
      }
    }
  }

  /// `[ item, … ]`; `item` must consume the item.
  private mutating func walkList(_ item: (inout JSONLine) throws(Failure) -> Void) throws(Failure) {
    at += 1
    skipSpace()
    if peek == UInt8(ascii: "]") {
      at += 1
      return
    }
    while true {
      try item(&self)
      skipSpace()
      if peek == UInt8(ascii: ",") {
        at += 1
      } else if peek == UInt8(ascii: "]") {
        at += 1
        return
      } else {
        throw failure(peek == nil ? "the line ends inside a list" : "a comma or a closing bracket was expected")
      }
    }
  }

  /// Whether a number of RFC 8259 may start here.
  private var startsNumber: Bool {
    guard let next = peek else { return false }
    return (48...57).contains(next)
      || next == UInt8(ascii: "-") && !(at + 1 < bytes.count && bytes[at + 1] == UInt8(ascii: "I"))
  }

  private mutating func value(depth: Int) throws(Failure) -> FieldValue {
    skipSpace()
    switch peek {
    case UInt8(ascii: "\""): return .text(try string())
    case UInt8(ascii: "["): return try list(depth: depth)
    case UInt8(ascii: "{"):
      try skip(depth: depth)
      return .other("an object")
    case UInt8(ascii: "t"):
      try word("true")
      return .flag(true)
    case UInt8(ascii: "f"):
      try word("false")
      return .flag(false)
    case UInt8(ascii: "n"):
      try word("null")
      return .absent
    // Python writes these for values that are not finite; a selected column refuses them like any other such number.
    case UInt8(ascii: "N"):
      try word("NaN")
      return .real(.nan)
    case UInt8(ascii: "I"):
      try word("Infinity")
      return .real(.infinity)
    case UInt8(ascii: "-") where at + 1 < bytes.count && bytes[at + 1] == UInt8(ascii: "I"):
      try word("-Infinity")
      return .real(-.infinity)
    default: return try number()
    }
  }

  /// A list of numbers, of strings or of objects, or a description of any other list.
  private mutating func list(depth: Int) throws(Failure) -> FieldValue {
    if depth > JSONLine.deepest { throw failure("values are nested deeper than \(JSONLine.deepest)") }
    var numbers: [Double] = []
    var words: [String] = []
    var objects: [[String: FieldValue]] = []
    var count = 0
    try walkList { line throws(Failure) in
      line.skipSpace()
      count += 1
      if line.startsNumber {
        switch try line.number() {
        case .integer(let value): numbers.append(Double(value))
        case .real(let value): numbers.append(value)
        default: break
        }
      } else if line.peek == UInt8(ascii: "\"") {
        words.append(try line.string())
      } else if line.peek == UInt8(ascii: "{") {
        objects.append(try line.object(depth: depth + 1))
      } else {
        try line.skip(depth: depth + 1)
      }
    }
    if numbers.count == count { return .list(numbers) }
    if words.count == count { return .words(words) }
    return objects.count == count ? .objects(objects) : .other("a list of values of several kinds")
  }

  /// The members of an object.
  private mutating func object(depth: Int) throws(Failure) -> [String: FieldValue] {
    if depth > JSONLine.deepest { throw failure("values are nested deeper than \(JSONLine.deepest)") }
    var members: [String: FieldValue] = [:]
    try walkObject(depth: depth) { line, name throws(Failure) in members[name] = try line.value(depth: depth + 1) }
    return members
  }

  /// Checks and skips a value of any kind.
  private mutating func skip(depth: Int) throws(Failure) {
    if depth > JSONLine.deepest { throw failure("values are nested deeper than \(JSONLine.deepest)") }
    skipSpace()
    switch peek {
    case UInt8(ascii: "{"): try walkObject(depth: depth) { line, _ throws(Failure) in try line.skip(depth: depth + 1) }
    case UInt8(ascii: "["): try walkList { line throws(Failure) in try line.skip(depth: depth + 1) }
    default: _ = try value(depth: depth)
    }
  }

  private mutating func word(_ word: StaticString) throws(Failure) {
    let start = at
    let matches = word.withUTF8Buffer { expected -> Bool in
      guard at + expected.count <= bytes.count else { return false }
      for (offset, byte) in expected.enumerated() where bytes[at + offset] != byte { return false }
      at += expected.count
      return true
    }
    if !matches {
      at = start
      throw failure("a value was expected")
    }
  }
}

// MARK: - Numbers and strings

extension JSONLine {
  private mutating func digits() -> Int {
    let start = at
    while at < bytes.count, (48...57).contains(bytes[at]) { at += 1 }
    return at - start
  }

  private mutating func number() throws(Failure) -> FieldValue {
    let start = at
    if peek == UInt8(ascii: "-") { at += 1 }
    let first = peek
    let whole = digits()
    guard whole > 0 else {
      at = start
      throw failure(peek == nil ? "the line ends where a value was expected" : "a value was expected")
    }
    if first == UInt8(ascii: "0") && whole > 1 { throw failure("a number may not start with zeros") }
    var isInteger = true
    if peek == UInt8(ascii: ".") {
      isInteger = false
      at += 1
      if digits() == 0 { throw failure("digits were expected after the decimal point") }
    }
    if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
      isInteger = false
      at += 1
      if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { at += 1 }
      if digits() == 0 { throw failure("digits were expected in the exponent") }
    }
    // 18 digits always fit an Int; a longer number is kept as a real, which no integer column accepts.
    if isInteger && whole <= 18 {
      var value = 0
      let negative = bytes[start] == UInt8(ascii: "-")
      for index in (negative ? start + 1 : start)..<at { value = value * 10 + Int(bytes[index] - 48) }
      return .integer(negative ? -value : value)
    }
    let text = String(decoding: bytes[start..<at], as: UTF8.self)
    return .real(Double(text) ?? .nan)
  }

  private mutating func string() throws(Failure) -> String {
    at += 1
    let start = at
    // Most strings have no escapes and are decoded at once.
    while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\"), bytes[at] >= 0x20 {
      at += 1
    }
    if peek == UInt8(ascii: "\"") {
      at += 1
      return String(decoding: bytes[start..<(at - 1)], as: UTF8.self)
    }
    var out = [UInt8](bytes[start..<at])
    while let byte = peek {
      if byte == UInt8(ascii: "\"") {
        at += 1
        return String(decoding: out, as: UTF8.self)
      }
      if byte < 0x20 { throw failure("a control character must be escaped in a string") }
      at += 1
      if byte == UInt8(ascii: "\\") { try escape(into: &out) } else { out.append(byte) }
    }
    throw failure("the line ends inside a string")
  }

  /// Decodes the escape sequence after a backslash.
  private mutating func escape(into out: inout [UInt8]) throws(Failure) {
    do { try JSONEscape.decode(bytes, at: &at, into: &out) } catch { throw failure(error.what) }
  }
}
