import Platform

/// A JSON value as in the file: members in order, duplicate keys kept, strings compared by their bytes.
///
/// A vocabulary is an object whose keys may be equal to a Swift dictionary ("é" as one scalar and as two are equal
/// `String`s), so tokenizer files are not read into `Platform.JSON`. This reader is also several times faster.
enum OrderedJSON: Sendable {
  case null
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case array([OrderedJSON])
  case object([(key: String, value: OrderedJSON)])

  /// Parses UTF-8 bytes; throws `.input` with the line of the first fault.
  init(parsing bytes: UnsafeRawBufferPointer) throws {
    var parser = Parser(bytes: bytes.bindMemory(to: UInt8.self))
    self = try parser.document()
  }

  /// Reads and parses a whole file; errors carry its path.
  init(contentsOf path: String) throws {
    do { self = try readFile(path).withUnsafeBytes { try OrderedJSON(parsing: $0) } } catch {
      var error = RetortError.wrap(error)
      if error.location?.hasPrefix(path) != true { error = error.located(path) }
      throw error
    }
  }

  /// The member of an object, the last of duplicate keys; nil for a missing member, a null and a non-object.
  subscript(key: String) -> OrderedJSON? {
    guard let value = members?.last(where: { $0.key.utf8.elementsEqual(key.utf8) })?.value else { return nil }
    if case .null = value { return nil }
    return value
  }

  var members: [(key: String, value: OrderedJSON)]? { if case .object(let members) = self { members } else { nil } }
  var array: [OrderedJSON]? { if case .array(let values) = self { values } else { nil } }
  var string: String? { if case .string(let text) = self { text } else { nil } }
  var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  var int: Int? { if case .int(let value) = self { value } else { nil } }
  /// An integer or a floating-point number.
  var number: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }
}

extension OrderedJSON {
  fileprivate struct Parser {
    let bytes: UnsafeBufferPointer<UInt8>
    var index = 0

    /// The deepest nesting that is read; it bounds the stack, and no tokenizer comes near it.
    private static let maximumDepth = 64

    init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    mutating func document() throws -> OrderedJSON {
      let value = try value(depth: 0)
      skipSpace()
      if index < bytes.count { throw fault("text after the end of the value") }
      return value
    }

    func fault(_ what: String) -> RetortError {
      let line = 1 + bytes.prefix(index).reduce(0) { $0 + ($1 == 0x0a ? 1 : 0) }
      return RetortError(
        .input, "not valid JSON (\(what))", at: "line \(line)",
        remedy: "download the file again from the model's source")
    }

    private mutating func skipSpace() {
      while index < bytes.count, bytes[index] == 0x20 || (0x09...0x0a).contains(bytes[index]) || bytes[index] == 0x0d {
        index += 1
      }
    }

    /// Skips white space and consumes `byte` if it is next; otherwise returns false.
    private mutating func take(_ byte: UInt8) -> Bool {
      skipSpace()
      guard index < bytes.count, bytes[index] == byte else { return false }
      index += 1
      return true
    }

    private mutating func value(depth: Int) throws -> OrderedJSON {
      skipSpace()
      guard index < bytes.count else { throw fault("the file ends too early") }
      switch bytes[index] {
      case UInt8(ascii: "{"): return try object(depth: depth + 1)
      case UInt8(ascii: "["): return try array(depth: depth + 1)
      case UInt8(ascii: "\""): return .string(try string())
      case UInt8(ascii: "t"): return try literal("true", .bool(true))
      case UInt8(ascii: "f"): return try literal("false", .bool(false))
      case UInt8(ascii: "n"): return try literal("null", .null)
      // Python writes these for NaN and infinities.
      case UInt8(ascii: "N"): return try literal("NaN", .double(.nan))
      case UInt8(ascii: "I"): return try literal("Infinity", .double(.infinity))
      case UInt8(ascii: "-") where index + 1 < bytes.count && bytes[index + 1] == UInt8(ascii: "I"):
        return try literal("-Infinity", .double(-.infinity))
      default: return try number()
      }
    }

    private mutating func object(depth: Int) throws -> OrderedJSON {
      if depth > Parser.maximumDepth { throw fault("nested too deeply") }
      index += 1
      var members: [(key: String, value: OrderedJSON)] = []
      if take(UInt8(ascii: "}")) { return .object(members) }
      repeat {
        skipSpace()
        guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { throw fault("a key was expected") }
        let key = try string()
        guard take(UInt8(ascii: ":")) else { throw fault("a colon was expected") }
        members.append((key, try value(depth: depth)))
      } while take(UInt8(ascii: ","))
      guard take(UInt8(ascii: "}")) else { throw fault("a comma or } was expected") }
      return .object(members)
    }

    private mutating func array(depth: Int) throws -> OrderedJSON {
      if depth > Parser.maximumDepth { throw fault("nested too deeply") }
      index += 1
      var values: [OrderedJSON] = []
      if take(UInt8(ascii: "]")) { return .array(values) }
      repeat { values.append(try value(depth: depth)) } while take(UInt8(ascii: ","))
      guard take(UInt8(ascii: "]")) else { throw fault("a comma or ] was expected") }
      return .array(values)
    }

    private mutating func literal(_ text: StaticString, _ value: OrderedJSON) throws -> OrderedJSON {
      let length = text.utf8CodeUnitCount
      guard index + length <= bytes.count else { throw fault("the file ends too early") }
      for offset in 0..<length where bytes[index + offset] != text.utf8Start[offset] { throw fault("unknown word") }
      index += length
      return value
    }

    private mutating func number() throws -> OrderedJSON {
      let start = index
      var digits = 0
      var isInteger = true
      loop: while index < bytes.count {
        switch bytes[index] {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digits += 1
        case UInt8(ascii: "-") where index == start: break
        case UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"):
          isInteger = false
        default: break loop
        }
        index += 1
      }
      let text = String(decoding: bytes[start..<index], as: UTF8.self)
      if digits > 0, isInteger, let value = Int(text) { return .int(value) }
      if digits > 0, let value = Double(text), value.isFinite { return .double(value) }
      index = start
      throw fault("a value was expected")
    }
  }
}

extension OrderedJSON.Parser {
  /// Parses a string from its opening to its closing quote.
  fileprivate mutating func string() throws -> String {
    index += 1
    let start = index
    while index < bytes.count, bytes[index] != UInt8(ascii: "\""), bytes[index] != UInt8(ascii: "\\") {
      if bytes[index] < 0x20 { throw fault("a control character in a string") }
      index += 1
    }
    guard index < bytes.count else { throw fault("a string has no end") }
    if bytes[index] == UInt8(ascii: "\"") {
      let content = UnsafeBufferPointer(rebasing: bytes[start..<index])
      index += 1
      return try text(content)
    }
    var content = Array(bytes[start..<index])
    while true {
      guard index < bytes.count else { throw fault("a string has no end") }
      let byte = bytes[index]
      if byte < 0x20 { throw fault("a control character in a string") }
      index += 1
      if byte == UInt8(ascii: "\"") { break }
      if byte == UInt8(ascii: "\\") { try escape(into: &content) } else { content.append(byte) }
    }
    return try content.withUnsafeBufferPointer { try text($0) }
  }

  private func text(_ content: UnsafeBufferPointer<UInt8>) throws -> String {
    guard let text = String(validating: content, as: UTF8.self) else { throw fault("a string is not UTF-8") }
    return text
  }

  /// Parses the rest of an escape after the backslash.
  private mutating func escape(into content: inout [UInt8]) throws {
    let raw = UnsafeRawBufferPointer(bytes)
    do { try JSONEscape.decode(raw, at: &index, into: &content) } catch { throw fault(error.what) }
  }
}
