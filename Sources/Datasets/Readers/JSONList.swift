import Platform

/// Finds the objects of a JSON document that is a list of rows: `[{…}, {…}]`, or `{"data": [{…}, {…}]}`.
struct JSONList {
  /// Names of an outer object's members under which programs write lists of rows.
  static let memberNames = ["data", "rows", "records", "examples", "items", "instances"]

  private let bytes: UnsafeRawBufferPointer
  private let path: String
  private var at: Int
  private var line = 1

  /// The records of a list; nil if the document is not a list, for example JSON Lines.
  ///
  /// - Parameter mayBeWrapped: whether the list may be a member of an object; one row of JSON Lines is an object, too.
  /// Throws `.input` with the line for a list with a syntax error, and for an object over several lines without a list.
  static func records(
    _ bytes: UnsafeRawBufferPointer, from first: Int, path: String, mayBeWrapped: Bool
  ) throws -> RecordIndex? {
    var list = JSONList(bytes: bytes, path: path, at: first)
    list.skipSpace()
    if list.peek == UInt8(ascii: "[") { return try list.items() }
    guard mayBeWrapped, list.peek == UInt8(ascii: "{") else { return nil }
    let start = list
    // Distinguishes one object that fills the file from rows of JSON Lines.
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

  /// Moves past a value; inside it only quotes and brackets are recognised.
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

  /// Moves to the list under one of `memberNames` in an object; returns false if there is none.
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

  /// Whether the first item of the list that begins here is an object.
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
