import Foundation

/// A JSON value; objects are unordered and written with sorted keys, as Hugging Face writes its files.
package enum JSON: Equatable, Sendable {
  case null
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case array([JSON])
  case object([String: JSON])

  /// Parses one JSON value from UTF-8 bytes as Python's `json` does: NaN and infinities are numbers, and the last of
  /// several members with one name counts. Throws `.input` with the fault, its line and its column.
  package init(parsing data: Data) throws { self = try data.withUnsafeBytes(JSON.parse) }

  private static func parse(_ bytes: UnsafeRawBufferPointer) throws -> JSON {
    var parser = JSONParser(bytes)
    do { return try parser.document() } catch {
      let place = JSONParser.place(of: error.offset, in: bytes)
      throw RetortError(
        .input, "not valid JSON (\(error.what))", at: "line \(place.line), column \(place.column)",
        remedy: "download the file again, or correct it there")
    }
  }

  /// Parses one JSON value from text; throws as for bytes.
  package init(parsing text: String) throws { try self.init(parsing: Data(text.utf8)) }

  /// Reads and parses a whole file; errors carry its path.
  package init(contentsOf path: String) throws {
    let data = try readFile(path)
    do { try self.init(parsing: data) } catch { throw RetortError.wrap(error).located(path) }
  }

  /// The same value with null for NaN and infinities, as `text` writes them: parsing its text gives an equal value.
  package var finite: JSON {
    switch self {
    case .double(let value) where !value.isFinite: .null
    case .array(let values): .array(values.map(\.finite))
    case .object(let members): .object(members.mapValues(\.finite))
    default: self
    }
  }
}

extension JSON {
  /// The member of an object; nil if it has none of that name, and nil for any other value.
  package subscript(key: String) -> JSON? {
    if case .object(let members) = self { members[key] } else { nil }
  }
  /// The text of a string, nil for any other value.
  package var string: String? { if case .string(let value) = self { value } else { nil } }
  /// true or false, nil for any other value, numbers included.
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  /// The elements of an array, nil for any other value.
  package var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
  /// The members of an object, nil for any other value.
  package var object: [String: JSON]? { if case .object(let value) = self { value } else { nil } }
  /// Whether it is `null`; a missing member is Swift's nil.
  package var isNull: Bool { self == .null }

  /// An integer, also if it is written with a zero fraction.
  package var int: Int? {
    switch self {
    case .int(let value): value
    case .double(let value): Int(exactly: value)
    default: nil
    }
  }

  /// A number, integer or not; nil for any other value.
  package var double: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int) { self = .int(value) }
  package init(floatLiteral value: Double) { self = .double(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(arrayLiteral elements: JSON...) { self = .array(elements) }
  package init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(Dictionary(elements) { _, last in last })
  }
  package init(nilLiteral: ()) { self = .null }
}

extension JSON {
  /// The value as text: keys sorted, numbers in the shortest form that reads back the same, NaN and infinities as null.
  ///
  /// - Parameter indent: spaces per level, or nil for one line.
  package func text(indent: Int? = nil) -> String {
    var out = ""
    write(to: &out, indent: indent, level: 0)
    return out
  }

  private func write(to out: inout String, indent: Int?, level: Int) {
    func newline(_ level: Int) {
      if let indent { out += "\n" + String(repeating: " ", count: indent * level) }
    }
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .int(let value): out += String(value)
    case .double(let value): out += value.isFinite ? "\(value)" : "null"
    case .string(let value): JSON.quote(value, to: &out)
    case .array(let values):
      out += "["
      for (index, value) in values.enumerated() {
        if index > 0 { out += indent == nil ? ", " : "," }
        newline(level + 1)
        value.write(to: &out, indent: indent, level: level + 1)
      }
      if !values.isEmpty { newline(level) }
      out += "]"
    case .object(let members):
      out += "{"
      for (index, key) in members.keys.sorted().enumerated() {
        if index > 0 { out += indent == nil ? ", " : "," }
        newline(level + 1)
        JSON.quote(key, to: &out)
        out += ": "
        members[key]!.write(to: &out, indent: indent, level: level + 1)
      }
      if !members.isEmpty { newline(level) }
      out += "}"
    }
  }

  private static func quote(_ text: String, to out: inout String) {
    out += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case "\u{0}"..<"\u{20}":
        let hex = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }
}
