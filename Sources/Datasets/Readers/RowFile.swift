import Platform

/// The columns to read from a file, in order.
package struct RowSelection: Sendable {
  /// The column names, in the order in which `read` returns their values.
  package let names: [String]
  /// The index of each column in a row, per file; unused for JSON Lines, whose rows name their fields.
  fileprivate let places: [[Int]]
}

/// The rows of a split, in one data file or several in order; any rank can read any row.
///
/// Opening locates the rows; each row is parsed when it is read. A byte order mark is skipped, lines may end in CR LF,
/// gzip and UTF-16 are decoded, and text that is not UTF-8 is refused with its line. Lines are counted over all files;
/// `location` converts them to file and line.
package final class RowFile: Sendable {
  /// One file of the split.
  struct Part: Sendable {
    let path: String
    let data: DataBytes
    let index: RecordIndex
    /// The column names; all files of a split have the same set, possibly in different order.
    let columns: [String]
    /// Rows and lines of the preceding files.
    var firstRow = 0
    var firstLine = 0
    /// How plain text is cut into documents.
    let documents: DocumentCut?
    /// Whether the file has a header row.
    var hasHeader = true
    /// Whether rows can have more fields than there are columns.
    var hasMoreFields = false
  }

  /// The name of the split in messages: its path, or the first of several.
  package let path: String
  /// The format of the rows, the same in all files.
  package let format: FileFormat
  /// How plain text is cut into documents, one per row; nil for other rows.
  package let documents: DocumentCut?
  /// The names in the header; for JSON Lines those in the first row, for plain text `text`.
  package let columns: [String]
  /// The number of rows, headers not counted.
  package let count: Int
  /// Whether a table has a header row.
  package let hasHeader: Bool
  /// How messages name settings.
  package let settings: SettingNames
  private let share: RowShare?
  let parts: [Part]

  /// Opens the files of a split; throws `.input` for an unknown format, for a header or quoting that cannot be read,
  /// with its line, and for files with different columns.
  ///
  /// - Parameters:
  ///   - format: the format of the rows; nil: the format for the first file's extension.
  ///   - headers: the source of the column names of CSV and TSV files.
  ///   - documents: how plain text is cut into rows; nil: one row per line. Other formats ignore it.
  package init(
    _ split: DatasetSplit, format: FileFormat? = nil, headers: RowHeader = .inFile, documents: DocumentCut? = nil,
    settings: SettingNames = .chainFile
  ) throws {
    path = split.name
    share = split.share
    self.settings = settings
    // A stream has no extension unless it is a FIFO with one in its name.
    guard let first = split.paths.first,
      let format = format ?? FileFormat(path: first) ?? (StreamContents.has(first) ? .jsonl : nil)
    else { throw RowFile.unknownFormat(split.paths.first ?? "") }
    self.format = format
    var parts = try split.paths.map { path in
      if split.paths.count > 1, FileFormat(path: path) != FileFormat(path: first) {
        throw RetortError(
          .input, "is not written as \(fileName(of: first)) is, a file of the same split", at: path,
          remedy: "give all files of a split one format")
      }
      return try RowFile.part(path, format, headers, documents, settings)
    }
    parts = try RowFile.sharing(split, parts)
    var (rows, lines) = (0, 0)
    for place in parts.indices {
      parts[place].firstRow = rows
      parts[place].firstLine = lines
      rows += parts[place].index.starts.count
      lines += Int(parts[place].index.lines.last ?? 0)
    }
    // A file without rows does not determine the columns: an empty file has no header.
    let named = parts.first { !$0.index.starts.isEmpty } ?? parts[0]
    for part in parts where format != .jsonl && !part.index.starts.isEmpty && Set(part.columns) != Set(named.columns) {
      throw RetortError(
        .input,
        "has the columns \(quoted(list: part.columns)), and \(fileName(of: named.path)) of the same split has "
          + quoted(list: named.columns), at: part.path, remedy: "give all files of a split the same columns")
    }
    columns = named.columns
    hasHeader = named.hasHeader
    self.documents = named.documents
    self.parts = parts
    count = rows
  }

  private static func part(
    _ path: String, _ format: FileFormat, _ headers: RowHeader, _ documents: DocumentCut?, _ settings: SettingNames
  ) throws -> Part {
    let data = try DataBytes(path)
    let bytes = data.bytes
    let first = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? 3 : 0
    let cut = format == .text ? documents?.resolved(for: bytes) : nil
    var index: RecordIndex
    switch format {
    case .text:
      index = cut.map { RecordIndex.ofDocuments(bytes, from: first, $0) } ?? RecordIndex.ofLines(bytes, from: first)
    case .tsv: index = RecordIndex.ofLines(bytes, from: first, tabsCount: true)
    case .conll: index = RecordIndex.ofSentences(bytes, from: first)
    case .csv: index = try RecordIndex.ofCSV(bytes, from: first, path: path)
    case .jsonl:
      let isDocument = FileFormat.withoutCompression(path).lowercased().hasSuffix(".json")
      let list = try JSONList.records(bytes, from: first, path: path, mayBeWrapped: isDocument)
      index = list ?? RecordIndex.ofLines(bytes, from: first)
    }
    var columns: [String] = []
    var hasHeader = true
    switch format {
    case .text: columns = ["text"]
    case .conll: columns = TaggedSentence.columns
    case .jsonl:
      if !index.starts.isEmpty { columns = try RowFile.members(bytes, index, 0, path) { _ in false }.names }
    case .tsv, .csv:
      guard let start = index.starts.first else { break }
      let fields = try RowFile.fields(bytes, format, start, index.end, path, Int(index.lines[0]))
      let names = fields.map { String(RowFile.text($0).trimmed) }
      columns = try headers.names(firstRow: names, at: "\(path):\(index.lines[0])", settings)
      hasHeader = columns == names
      if hasHeader { _ = index.removeFirst() }
    }
    var hasMoreFields = false
    if case .maybe(_, moreFollow: true) = headers { hasMoreFields = !hasHeader }
    return Part(
      path: path, data: data, index: index, columns: columns, documents: cut, hasHeader: hasHeader,
      hasMoreFields: hasMoreFields)
  }

  /// The files with only those rows that belong to the split's share.
  private static func sharing(_ split: DatasetSplit, _ parts: [Part]) throws -> [Part] {
    guard let share = split.share else { return parts }
    let hashes = parts.flatMap { part in
      part.index.starts.indices.map { ContentHash.of(bytes: part.index.bytes(of: $0, in: part.data.bytes), share.seed) }
    }
    let wanted = try share.rows(hashes, of: split.name)
    var before = 0
    return parts.map { part in
      var index = part.index
      let first = before
      before += index.starts.count
      index.keep { wanted[first + $0] }
      return Part(
        path: part.path, data: part.data, index: index, columns: part.columns, documents: part.documents,
        hasHeader: part.hasHeader, hasMoreFields: part.hasMoreFields)
    }
  }

  private static func unknownFormat(_ path: String) -> RetortError {
    let name = path.lowercased()
    var remedy = "use .tsv, .csv, .jsonl, .json, .txt or .conll, each also as .gz"
    if name.hasSuffix(".parquet") { remedy += "; " + DatasetFiles.parquetRemedy }
    if [".zst", ".bz2", ".xz", ".zip", ".lz4"].contains(where: name.hasSuffix) {
      remedy += "; decompress the file first"
    }
    return RetortError(.input, "the file's extension does not tell how its rows are written", at: path, remedy: remedy)
  }

  /// The file that contains a row.
  func part(of row: Int) -> Part {
    if parts.count == 1 { return parts[0] }
    return parts[parts.lastIndex { $0.firstRow <= row && !$0.index.starts.isEmpty } ?? 0]
  }

  /// The line on which a row starts, counted from 1 over all files.
  package func line(of row: Int) -> Int {
    let part = part(of: row)
    return part.firstLine + Int(part.index.lines[row - part.firstRow])
  }

  /// The `path:line` of a word of a row: its own line if each word has one, otherwise that of the row.
  func location(of row: Int, word: Int) -> String {
    location(ofLine: line(of: row) + (format == .conll ? word : 0))
  }

  /// The `path:line` of a row, for error messages.
  package func location(of row: Int) -> String { location(ofLine: line(of: row)) }

  /// The `path:line` of a line that is counted over all files.
  package func location(ofLine line: Int) -> String {
    let part = parts.last { $0.firstLine < line && !$0.index.starts.isEmpty } ?? parts[0]
    return "\(part.path):\(line - part.firstLine)"
  }

  /// Throws `.input` if there are no rows.
  package func requireRows() throws {
    if count == 0 {
      throw RetortError(.input, "has no examples", at: path, remedy: "give a file with at least one row of data")
    }
  }

  /// Resolves column names; throws `.input` for a name that is missing, with the columns found, or not unique.
  ///
  /// Rows of JSON Lines name their own fields; a missing field is `.absent` when the row is read.
  package func select(_ names: [String]) throws -> RowSelection {
    guard format != .jsonl else { return RowSelection(names: names, places: []) }
    let places = try parts.map { part -> [Int] in
      if part.index.starts.isEmpty { return [] }
      return try names.map { name in
        let found = part.columns.indices.filter { part.columns[$0] == name }
        if found.count > 1 {
          throw RetortError(.input, "the column \(quoted(name)) occurs \(found.count) times", at: part.path)
        }
        guard let place = found.first else { throw missingColumn(name) }
        return place
      }
    }
    return RowSelection(names: names, places: places)
  }

  /// The values of the selected columns of one row; throws `.input` with the line for a row that cannot be parsed.
  package func read(_ row: Int, _ selection: RowSelection) throws -> [FieldValue] { try fields(row, selection).values }

  /// The values of the selected columns of one row, and the names of all its fields.
  func fields(_ row: Int, _ selection: RowSelection) throws -> (names: [String], values: [FieldValue]) {
    let place = parts.count == 1 ? 0 : parts.lastIndex { $0.firstRow <= row && !$0.index.starts.isEmpty } ?? 0
    let part = parts[place]
    let record = row - part.firstRow
    if format == .jsonl {
      var values = [FieldValue](repeating: .absent, count: selection.names.count)
      let found = try RowFile.members(part.data.bytes, part.index, record, part.path) { selection.names.contains($0) }
      for (name, value) in found.values {
        for (place, wanted) in selection.names.enumerated() where wanted == name { values[place] = value }
      }
      return (found.names, values)
    }
    if part.documents != nil {
      return (part.columns, try selection.names.map { _ in .text(try document(record, of: part)) })
    }
    let line = Int(part.index.lines[record])
    if format == .conll {
      let sentence = try TaggedSentence(part.index.bytes(of: record, in: part.data.bytes), at: part.path, line: line)
      let values: [FieldValue] = [.words(sentence.words), sentence.tags.map { .words($0) } ?? .absent]
      return (part.columns, selection.places[place].map { values[$0] })
    }
    let fields = try RowFile.fields(
      part.data.bytes, format, part.index.starts[record], part.index.end, part.path, line)
    if fields.count < part.columns.count || fields.count > part.columns.count && !part.hasMoreFields {
      throw RetortError(
        .input,
        "the row has \(fields.count) \(fields.count == 1 ? "field" : "fields") where the header has "
          + "\(part.columns.count)", at: "\(part.path):\(line)", remedy: fieldCountRemedy)
    }
    return (part.columns, selection.places[place].map { .text(RowFile.text(fields[$0])) })
  }

  /// The text of a document.
  private func document(_ record: Int, of part: Part) throws -> String {
    let bytes = UnsafeRawBufferPointer(rebasing: part.data.bytes[part.index.starts[record]..<part.index.stops[record]])
    try RowFile.checkEncoding(bytes, part.path, Int(part.index.lines[record]))
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The names of a row's fields: those of the header, or of the row itself for JSON Lines.
  package func names(of row: Int) throws -> [String] {
    guard format == .jsonl else { return columns }
    let part = part(of: row)
    return try RowFile.members(part.data.bytes, part.index, row - part.firstRow, part.path) { _ in false }.names
  }

  /// Whether the file has a column; for JSON Lines, whether one of the first 1000 rows has the field. Rows that cannot
  /// be parsed are ignored.
  func has(_ name: String) -> Bool {
    if columns.contains(name) { return true }
    let rows = 0..<(format == .jsonl ? min(count, 1000) : 0)
    return rows.contains { ((try? names(of: $0)) ?? []).contains(name) }
  }

  /// The error for a column that the file does not have.
  func missingColumn(_ name: String) -> RetortError {
    let near = nearestName(to: name, among: columns).map { "did you mean \(quoted($0))? Otherwise " } ?? ""
    return RetortError(
      .input, "there is no column \(quoted(name)); found: \(quoted(list: columns))", at: path,
      remedy: near + settings.columns + headerRemedy)
  }

  /// The error for a table without the label column.
  package func missingLabel(_ name: String = "label") -> RetortError {
    let near = nearestName(to: name, among: columns).map { "did you mean \(quoted($0))? Otherwise " } ?? ""
    return RetortError(
      .input, "there is no column \(quoted(name)); found: \(quoted(list: columns))", at: path,
      remedy: near + settings.label + headerRemedy)
  }

  /// The remedy if the first line is not a header, or has another separator.
  var headerRemedy: String {
    if columns.count == 1, format == .csv || format == .tsv {
      let own = format == .csv ? "commas" : "tabs"
      for (mark, name) in [("\t", "tabs"), (";", "semicolons"), (",", "commas")]
      where name != own && columns[0].contains(mark) {
        let other = format == .csv ? "tsv" : "csv"
        return "; the first line has \(name), and the fields of a .\(format.rawValue) file are separated by \(own): "
          + (name == "semicolons" ? "write the file with \(own)" : "give it the ending .\(other)")
      }
    }
    return format == .csv || format == .tsv
      ? "; the first line was read as the header: if the file has none, name its columns: \(settings.header)" : ""
  }

  private var fieldCountRemedy: String {
    format == .tsv
      ? "fields are separated by single tabs and are not quoted"
      : "put fields with commas, quotes or line breaks in quotes"
  }
}

// MARK: - The whole split

extension RowFile {
  /// SHA-256 of the file's decoded bytes; for several files or a share, SHA-256 of the files' digests and the share.
  func contentDigest() -> String {
    let each = parts.map { part in
      let digest = Digest()
      digest.update(part.data.bytes)
      return digest.finish()
    }
    if each.count == 1, share == nil { return each[0] }
    let digest = Digest()
    digest.update("retort split")
    each.forEach(digest.update(_:))
    digest.update(share?.text ?? "all")
    return digest.finish()
  }

  /// The end of the chunk that starts at row `first`: after `rows` rows or about `bytes` bytes, but at least one row,
  /// and at the latest at the end of the row's file.
  func chunkEnd(from first: Int, rows: Int, bytes: Int) -> Int {
    let part = part(of: first)
    let starts = part.index.starts
    let start = first - part.firstRow
    var end = min(starts.count, start + rows)
    let limit = starts[start] + bytes
    if end > start + 1, starts[end - 1] > limit {
      // Finds the first row that starts after the limit.
      var (low, high) = (start + 1, end - 1)
      while low < high {
        let middle = (low + high) / 2
        if starts[middle] > limit { high = middle } else { low = middle + 1 }
      }
      end = low
    }
    return part.firstRow + end
  }
}
