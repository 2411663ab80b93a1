import Platform

/// Which columns of a file are wanted, in which order.
public struct RowSelection: Sendable {
  /// The names of the wanted columns, in the order in which `read` gives their values.
  public let names: [String]
  /// The place of each column in a row; unused for JSON Lines, whose rows name their fields.
  fileprivate let places: [Int]
}

/// A data file in memory-mapped form, whose rows can be read in any order and by any rank.
///
/// Opening finds where the rows start; nothing else is parsed before it is asked for. A byte order mark is skipped,
/// lines may end in CR LF, and text that is not UTF-8 is refused with its line.
public final class RowFile: Sendable {
  /// The path that the file was opened by.
  public let path: String
  /// How rows are written.
  public let format: FileFormat
  /// How plain text was cut into rows that are documents; nil where a row is a line.
  public let documents: DocumentCut?
  /// The header's names; for JSON Lines the names in the first row, for plain text `text`.
  public let columns: [String]
  private let file: MappedFile
  private let index: RecordIndex

  /// Opens a file; throws `.input` with the line for a header or quoting that cannot be read.
  ///
  /// - Parameters:
  ///   - format: how rows are written; nil: as the file's extension tells.
  ///   - headerless: the names of the columns of a file that may come without a header; it has none where its first
  ///     row has as many fields as there are names, and none of the names.
  ///   - documents: how plain text is cut into rows; nil: a row a line. Other formats have rows of their own.
  public init(
    _ path: String, format: FileFormat? = nil, headerless: [String]? = nil, documents: DocumentCut? = nil
  ) throws {
    // A stream has no extension unless a FIFO was given one.
    guard let format = format ?? FileFormat(path: path) ?? (StreamContents.has(path) ? .jsonl : nil) else {
      throw RetortError(
        .input, "the file's extension does not tell how its rows are written", at: path,
        remedy: "use .tsv, .csv, .jsonl or .txt" + RowFile.conversionHint(path))
    }
    self.path = path
    self.format = format
    file = try MappedFile(path)
    let bytes = file.bytes
    let first = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? 3 : 0
    let cut = format == .text ? documents?.resolved(for: bytes) : nil
    self.documents = cut
    var index =
      switch format {
      case .text where cut != nil: RecordIndex.ofDocuments(bytes, from: first, cut ?? .file)
      case .tsv: RecordIndex.ofLines(bytes, from: first, skipBlank: false)
      case .csv: try RecordIndex.ofCSV(bytes, from: first, path: path)
      case .jsonl, .text: RecordIndex.ofLines(bytes, from: first, skipBlank: true)
      }
    switch format {
    case .text: columns = ["text"]
    case .jsonl:
      guard let start = index.starts.first else {
        columns = []
        break
      }
      if bytes[start] == UInt8(ascii: "[") {
        throw RetortError(
          .input, "is a JSON list, JSON Lines were expected", at: path, remedy: "write one object a line")
      }
      columns = try RowFile.members(bytes, index, 0, path) { _ in false }.names
    case .tsv, .csv:
      guard let start = index.starts.first else {
        columns = []
        break
      }
      let fields = try RowFile.fields(bytes, format, start, index.end, path, Int(index.lines[0]))
      let names = fields.map { String(RowFile.text($0).trimmed) }
      if let headerless, headerless.count == names.count, !headerless.contains(where: names.contains) {
        columns = headerless
      } else {
        columns = names
        _ = index.removeFirst()
      }
    }
    self.index = index
  }

  /// The number of rows, without the header.
  public var count: Int { index.starts.count }

  /// The line on which a row starts, counted from 1.
  public func line(of row: Int) -> Int { Int(index.lines[row]) }

  /// `path:line` of a row, for error messages.
  public func location(of row: Int) -> String { "\(path):\(line(of: row))" }

  /// Throws `.input` where the file has no rows.
  public func requireRows() throws {
    if count == 0 {
      throw RetortError(.input, "has no examples", at: path, remedy: "give a file with at least one row of data")
    }
  }

  /// Resolves column names; throws `.input` with the columns found where one is missing or not unique.
  ///
  /// The rows of JSON Lines name their own fields, so there a missing one shows as `.absent` when it is read.
  public func select(_ names: [String]) throws -> RowSelection {
    guard format != .jsonl else { return RowSelection(names: names, places: []) }
    let places = try names.map { name in
      let found = columns.indices.filter { columns[$0] == name }
      if found.count > 1 { throw RetortError(.input, "the column \"\(name)\" occurs \(found.count) times", at: path) }
      guard let place = found.first else { throw missingColumn(name) }
      return place
    }
    return RowSelection(names: names, places: places)
  }

  /// One row's values of the selected columns; throws `.input` with the line for a row that cannot be parsed.
  public func read(_ row: Int, _ selection: RowSelection) throws -> [FieldValue] {
    if format == .jsonl {
      var values = [FieldValue](repeating: .absent, count: selection.names.count)
      let found = try RowFile.members(file.bytes, index, row, path) { selection.names.contains($0) }
      for (name, value) in found.values {
        for (place, wanted) in selection.names.enumerated() where wanted == name { values[place] = value }
      }
      return values
    }
    if !index.stops.isEmpty { return try selection.places.map { _ in .text(try document(row)) } }
    let fields = try RowFile.fields(file.bytes, format, index.starts[row], index.end, path, line(of: row))
    if fields.count != columns.count {
      throw RetortError(
        .input,
        "the row has \(fields.count) \(fields.count == 1 ? "field" : "fields") where the header has "
          + "\(columns.count)", at: location(of: row), remedy: fieldCountRemedy)
    }
    return selection.places.map { .text(RowFile.text(fields[$0])) }
  }

  /// The text of a document.
  private func document(_ row: Int) throws -> String {
    let record = UnsafeRawBufferPointer(rebasing: file.bytes[index.starts[row]..<index.stops[row]])
    try RowFile.checkEncoding(record, path, line(of: row))
    return String(decoding: record, as: UTF8.self)
  }

  /// The names of a row's fields: the header's, or those that a row of JSON Lines has itself.
  public func names(of row: Int) throws -> [String] {
    format == .jsonl ? try RowFile.members(file.bytes, index, row, path) { _ in false }.names : columns
  }

  /// The error for a column that the file does not have.
  func missingColumn(_ name: String) -> RetortError {
    RetortError(
      .input, "there is no column \"\(name)\"; found: \(RowFile.quoted(columns))", at: path,
      remedy: "name the columns under task: {text: …, label: …}")
  }

  static func quoted(_ names: [String]) -> String {
    names.isEmpty ? "none" : names.map { "\"\($0)\"" }.joined(separator: ", ")
  }

  private var fieldCountRemedy: String {
    format == .tsv
      ? "fields are separated by single tabs and are not quoted"
      : "put fields with commas, quotes or line breaks in quotes"
  }

  private static func conversionHint(_ path: String) -> String {
    path.hasSuffix(".parquet") ? "; " + DatasetFiles.parquetRemedy : ""
  }
}

// MARK: - Fields

extension RowFile {
  /// A field's bytes, without the quotes around it.
  private struct Field {
    let bytes: UnsafeRawBufferPointer
    let hasDoubledQuotes: Bool
  }

  private static func text(_ field: Field) -> String {
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

  private static func fields(
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
  private static func csvFields(
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

  private static func members(
    _ bytes: UnsafeRawBufferPointer, _ index: RecordIndex, _ row: Int, _ path: String, keep: (String) -> Bool
  ) throws -> (names: [String], values: [(String, FieldValue)]) {
    let (start, line) = (index.starts[row], Int(index.lines[row]))
    let stop = RecordIndex.lineEnd(bytes, start, index.end)
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
        .input, "not a row of JSON Lines (\(error.what), byte \(error.column))", at: "\(path):\(line)",
        remedy: "each line holds one JSON object, such as {\"text\": \"…\", \"label\": 1}")
    }
    return (names, values)
  }

  /// Refuses bytes that are not UTF-8, with the line on which they are.
  private static func checkEncoding(_ record: UnsafeRawBufferPointer, _ path: String, _ line: Int) throws {
    guard let wrong = UTF8Check.firstInvalid(record) else { return }
    let breaks = record[..<wrong].count { $0 == 0x0a }
    throw RetortError(
      .input, "the text is not UTF-8 (byte 0x\(String(record[wrong], radix: 16)))", at: "\(path):\(line + breaks)",
      remedy: "convert the file, for example with iconv -f latin1 -t utf-8")
  }
}

// MARK: - The whole file

extension RowFile {
  /// SHA-256 of the file's bytes.
  func contentDigest() -> String {
    let digest = Digest()
    digest.update(file.bytes)
    return digest.finish()
  }

  /// Where a chunk that starts at row `first` ends: after `rows` rows or `bytes` bytes, but after one row at least.
  func chunkEnd(from first: Int, rows: Int, bytes: Int) -> Int {
    var end = min(count, first + rows)
    let limit = index.starts[first] + bytes
    if end > first + 1, index.starts[end - 1] > limit {
      // The first row of the chunk that starts behind the limit.
      var (low, high) = (first + 1, end - 1)
      while low < high {
        let middle = (low + high) / 2
        if index.starts[middle] > limit { high = middle } else { low = middle + 1 }
      }
      end = low
    }
    return end
  }
}
