import Platform

/// Finds the objects of a JSON document that is one list of rows: `[{…}, {…}]`, or `{"data": [{…}, {…}]}`.
struct JSONList {
  /// Members of an outer object under which programs write rows.
  static let memberNames = ["data", "rows", "records", "examples", "items", "instances"]

  private let bytes: UnsafeRawBufferPointer
  private let path: String
  private var at: Int
  private var line = 1

  /// The records of a list; nil where the document is something else, such as JSON Lines.
  ///
  /// - Parameter mayBeWrapped: whether the list may stand in an object, which one row of JSON Lines is, too.
  /// Throws `.input` with the line for a list that does not end.
  static func records(
    _ bytes: UnsafeRawBufferPointer, from first: Int, path: String, mayBeWrapped: Bool
  ) throws -> RecordIndex? {
    var list = JSONList(bytes: bytes, path: path, at: first)
    list.skipSpace()
    if list.peek == UInt8(ascii: "[") { return try list.items() }
    guard mayBeWrapped, list.peek == UInt8(ascii: "{") else { return nil }
    let start = list
    // One object that fills the file, or rows of JSON Lines?
    list.skipValue()
    let isOnOneLine = list.line == start.line
    list.skipSpace()
    guard list.at == bytes.count else { return nil }
    list = start
    if list.enterMember() { return try list.items(isWrapped: true) }
    if isOnOneLine { return nil }
    throw RetortError(
      .input, "is one JSON object over several lines, and no list of rows", at: path,
      remedy: "write a list of objects or an object a line, with pandas: to_json(…, orient=\"records\")")
  }

  private init(bytes: UnsafeRawBufferPointer, path: String, at: Int) {
    self.bytes = bytes
    self.path = path
    self.at = at
  }

  private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

  private mutating func skipSpace() {
    while at < bytes.count {
      switch bytes[at] {
      case 0x0a: line += 1
      case 0x20, 0x09, 0x0d: break
      default: return
      }
      at += 1
    }
  }

  private mutating func skipString() {
    at += 1
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "\""):
        at += 1
        return
      case UInt8(ascii: "\\"): at += 1
      case 0x0a: line += 1
      default: break
      }
      at += 1
    }
    at = min(at, bytes.count)
  }

  /// Goes behind a value, whose inside is only looked at for quotes and brackets.
  private mutating func skipValue() {
    var depth = 0
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "\""):
        skipString()
        if depth == 0 { return }
        continue
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        if depth == 0 { return }
        depth -= 1
        if depth == 0 {
          at += 1
          return
        }
      case UInt8(ascii: ","), 0x20, 0x09, 0x0d:
        if depth == 0 { return }
      case 0x0a:
        if depth == 0 { return }
        line += 1
      default: break
      }
      at += 1
    }
  }

  /// Goes to the list under one of the usual names of an object; false where there is none.
  private mutating func enterMember() -> Bool {
    at += 1
    while true {
      skipSpace()
      guard peek == UInt8(ascii: "\"") else { return false }
      let start = at
      skipString()
      let name = String(decoding: bytes[min(start + 1, at)..<max(start + 1, at - 1)], as: UTF8.self)
      skipSpace()
      guard peek == UInt8(ascii: ":") else { return false }
      at += 1
      skipSpace()
      if JSONList.memberNames.contains(name), peek == UInt8(ascii: "["), holdsObjects { return true }
      skipValue()
      skipSpace()
      guard peek == UInt8(ascii: ",") else { return false }
      at += 1
    }
  }

  /// Whether the list here begins with an object.
  private var holdsObjects: Bool {
    var inside = self
    inside.at += 1
    inside.skipSpace()
    return inside.peek == UInt8(ascii: "{")
  }

  /// The records of the list that begins here.
  private mutating func items(isWrapped: Bool = false) throws -> RecordIndex {
    var index = RecordIndex()
    let opened = line
    at += 1
    skipSpace()
    if peek != UInt8(ascii: "]") {
      while true {
        skipSpace()
        let (start, first) = (at, line)
        skipValue()
        if at == start { throw failure("a JSON object in braces was expected", first) }
        index.add(start, first, stop: at)
        skipSpace()
        if peek == UInt8(ascii: "]") { break }
        guard peek == UInt8(ascii: ",") else {
          throw failure(
            peek == nil
              ? "the JSON list that opens on line \(opened) does not end"
              : "a comma or a closing bracket was "
                + "expected in the JSON list", line)
        }
        at += 1
      }
    }
    at += 1
    skipSpace()
    if !isWrapped, at < bytes.count { throw failure("more text follows the JSON list", line) }
    return index
  }

  private func failure(_ what: String, _ line: Int) -> RetortError {
    RetortError(
      .input, what, at: "\(path):\(line)", remedy: "write a list of objects, or an object a line (JSON Lines)")
  }
}
