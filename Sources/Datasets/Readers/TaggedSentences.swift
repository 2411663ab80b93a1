import Platform

// Files of sentences with a word per line, as the shared tasks of CoNLL have them:
//
//     -DOCSTART- -X- O O
//
//     EU     NNP  B-NP  B-ORG
//     rejects VBZ B-VP  O
//
// Columns are separated by a tab, or in a line without tabs by spaces. The first is the word, the last its tag; a line
// of one column is a word without a tag. Blank lines separate sentences.

extension RecordIndex {
  /// One record per sentence; lines of -DOCSTART- are no sentence.
  static func ofSentences(_ bytes: UnsafeRawBufferPointer, from first: Int) -> RecordIndex {
    var index = RecordIndex()
    var (at, line) = (first, 1)
    var start: (byte: Int, line: Int)?
    var stop = first
    func isSeparator(_ from: Int, _ to: Int) -> Bool {
      isBlank(bytes, from, to) || TaggedSentence.isDocumentStart(bytes, from, to)
    }
    while at < bytes.count {
      let end = lineEnd(bytes, at, bytes.count)
      if isSeparator(at, end) {
        if let start { index.add(start.byte, start.line, stop: stop) }
        start = nil
      } else {
        if start == nil { start = (at, line) }
        stop = end > at && bytes[end - 1] == 0x0d ? end - 1 : end
      }
      (at, line) = (end + 1, line + 1)
    }
    if let start { index.add(start.byte, start.line, stop: stop) }
    return index
  }
}

/// A sentence of such a file.
struct TaggedSentence {
  /// The names of its columns in a row.
  static let columns = ["tokens", "tags"]

  let words: [String]
  /// One tag for each word; nil for words without tags.
  let tags: [String]?

  /// Parses the lines of a sentence; throws `.input` with the line of a word that has no tag if others have.
  init(_ record: UnsafeRawBufferPointer, at path: String, line: Int) throws {
    try RowFile.checkEncoding(record, path, line)
    var words: [String] = []
    var tags: [String] = []
    for (place, text) in record.split(separator: 0x0a, omittingEmptySubsequences: false).enumerated() {
      let text = text.last == 0x0d ? text.dropLast() : text
      let hasTabs = text.contains(0x09)
      let fields = text.split(separator: hasTabs ? 0x09 : 0x20, omittingEmptySubsequences: !hasTabs)
      guard let word = fields.first else { continue }
      if place > 0, tags.isEmpty != (fields.count == 1) {
        throw RetortError(
          .input,
          fields.count == 1
            ? "the word has no tag, and the words before it have" : "the word has a tag, and those before it have none",
          at: "\(path):\(line + place)", remedy: "give every line a word and its tag, with a tab between them")
      }
      words.append(String(decoding: word, as: UTF8.self))
      if fields.count > 1, let tag = fields.last { tags.append(String(decoding: tag, as: UTF8.self)) }
    }
    self.words = words
    self.tags = tags.isEmpty ? nil : tags
  }

  /// Whether the first line of a table names columns of rows, such as `text`, and is no word with its tag.
  static func isTableOfRows(_ path: String) -> Bool {
    guard let data = try? DataBytes(path) else { return false }
    let known: Set<String> = [
      "id", "ids", "text", "sentence", "label", "labels", "tags", "ner_tags", "tokens", "entities",
    ]
    let line = data.bytes[..<RecordIndex.lineEnd(data.bytes, 0, data.bytes.count)]
    let names = line.filter { $0 != 0x0d }.split(separator: 0x09, omittingEmptySubsequences: false).map {
      String(decoding: $0, as: UTF8.self).trimmed.lowercased()
    }
    return names.allSatisfy(known.contains) && names.contains { $0 != "id" }
  }

  /// Whether the first lines of plain text, up to a blank one, are words that all have tags of entities.
  static func areInLines(of path: String) -> Bool {
    guard let data = try? DataBytes(path) else { return false }
    var (at, lines) = (0, 0)
    while at < data.bytes.count, lines < 50 {
      let end = RecordIndex.lineEnd(data.bytes, at, data.bytes.count)
      let isBlank = RecordIndex.isBlank(data.bytes, at, end)
      let fields = data.bytes[at..<end].split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }
      at = end + 1
      if isBlank {
        if lines > 0 { break }
        continue
      }
      let tag = fields.last.map { String(decoding: $0, as: UTF8.self) } ?? ""
      if fields.count < 2 || tag != TagScheme.outside && TagScheme.type(of: tag) == nil { return false }
      lines += 1
    }
    return lines > 0
  }

  /// Whether a line begins a document and is no word.
  static func isDocumentStart(_ bytes: UnsafeRawBufferPointer, _ from: Int, _ to: Int) -> Bool {
    let mark = StaticString("-DOCSTART-")
    guard to - from >= mark.utf8CodeUnitCount else { return false }
    for offset in 0..<mark.utf8CodeUnitCount where bytes[from + offset] != mark.utf8Start[offset] { return false }
    return true
  }
}
