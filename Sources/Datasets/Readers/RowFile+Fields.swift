import Platform

extension RowFile {
  /// The bytes of a field, without the quotes around it.
  struct Field {
    let bytes: UnsafeRawBufferPointer
    let hasDoubledQuotes: Bool
  }

  static func text(_ field: Field) -> String {
    guard field.hasDoubledQuotes else { return String(decoding: field.bytes, as: UTF8.self) }
    var out: [UInt8] = []
    out.reserveCapacity(field.bytes.count)
    var at = 0
    while at < field.bytes.count {
      out.append(field.bytes[at])
      at += field.bytes[at] == UInt8(ascii: "\"") ? 2 : 1
    }
    return String(decoding: out, as: UTF8.self)
  }

  static func fields(
    _ bytes: UnsafeRawBufferPointer, _ format: FileFormat, _ start: Int, _ end: Int, _ path: String, _ line: Int
  ) throws -> [Field] {
    if format == .csv { return try csvFields(bytes, start, end, path, line) }
    var stop = RecordIndex.lineEnd(bytes, start, end)
    if stop > start, bytes[stop - 1] == 0x0d { stop -= 1 }
    let record = UnsafeRawBufferPointer(rebasing: bytes[start..<stop])
    try checkEncoding(record, path, line)
    if format == .text { return [Field(bytes: record, hasDoubledQuotes: false)] }
    return record.split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: false).map {
      Field(bytes: UnsafeRawBufferPointer(rebasing: $0), hasDoubledQuotes: false)
    }
  }

  /// The fields of one CSV record, whose quotes are known to be closed.
  static func csvFields(
    _ bytes: UnsafeRawBufferPointer, _ start: Int, _ end: Int, _ path: String, _ line: Int
  ) throws -> [Field] {
    var fields: [Field] = []
    var at = start
    while true {
      var (from, doubled) = (at, false)
      var to: Int
      if at < end, bytes[at] == UInt8(ascii: "\"") {
        from += 1
        at += 1
        while at < end {
          if bytes[at] == UInt8(ascii: "\"") {
            guard at + 1 < end, bytes[at + 1] == UInt8(ascii: "\"") else { break }
            doubled = true
            at += 1
          }
          at += 1
        }
        to = at
        at += 1
        if at < end, bytes[at] == 0x0d, at + 1 == end || bytes[at + 1] == 0x0a { at += 1 }
        if at < end, bytes[at] != UInt8(ascii: ","), bytes[at] != 0x0a {
          throw RetortError(
            .input, "text follows the closing quote of field \(fields.count + 1)", at: "\(path):\(line)",
            remedy: "double the quotes that belong to the text")
        }
      } else {
        while at < end, bytes[at] != UInt8(ascii: ","), bytes[at] != 0x0a { at += 1 }
        to = at
        if to > from, bytes[to - 1] == 0x0d, at == end || bytes[at] == 0x0a { to -= 1 }
      }
      fields.append(Field(bytes: UnsafeRawBufferPointer(rebasing: bytes[from..<to]), hasDoubledQuotes: doubled))
      if at >= end || bytes[at] == 0x0a { break }
      at += 1
    }
    try checkEncoding(UnsafeRawBufferPointer(rebasing: bytes[start..<min(at, end)]), path, line)
    return fields
  }

  static func members(
    _ bytes: UnsafeRawBufferPointer, _ index: RecordIndex, _ row: Int, _ path: String, keep: (String) -> Bool
  ) throws -> (names: [String], values: [(String, FieldValue)]) {
    let (start, line) = (index.starts[row], Int(index.lines[row]))
    let stop = index.stops.isEmpty ? RecordIndex.lineEnd(bytes, start, index.end) : index.stops[row]
    let record = UnsafeRawBufferPointer(rebasing: bytes[start..<stop])
    try checkEncoding(record, path, line)
    var names: [String] = []
    var values: [(String, FieldValue)] = []
    var reader = JSONLine(record)
    do {
      try reader.members(
        keep: { name in
          names.append(name)
          return keep(name)
        }, found: { values.append(($0, $1)) })
    } catch {
      throw RetortError(
        .input, "not a row of JSON\(index.stops.isEmpty ? " Lines" : "") (\(error.what), byte \(error.column))",
        at: "\(path):\(line)",
        remedy: "each \(index.stops.isEmpty ? "line" : "item of the list") holds one JSON object, such as "
          + "{\"text\": \"…\", \"label\": 1}")
    }
    return (names, values)
  }

  /// Throws `.input` with the line of the first byte that is not UTF-8.
  static func checkEncoding(_ record: UnsafeRawBufferPointer, _ path: String, _ line: Int) throws {
    guard let wrong = UTF8Check.firstInvalid(record) else { return }
    let breaks = record[..<wrong].count { $0 == 0x0a }
    // Windows-1252 has letters and quotes at the codes of Latin-1's control characters.
    let isWindows = record.contains { (0x80...0x9f).contains($0) }
    throw RetortError(
      .input, "the text is not UTF-8 (byte 0x\(String(record[wrong], radix: 16)))", at: "\(path):\(line + breaks)",
      remedy: "convert the file from the encoding that it has; if that is "
        + (isWindows ? "Windows-1252: iconv -f windows-1252 -t utf-8" : "Latin-1: iconv -f latin1 -t utf-8"))
  }
}
