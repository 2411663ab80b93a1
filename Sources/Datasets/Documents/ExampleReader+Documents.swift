import Platform

/// How documents are converted to tokens.
struct DocumentReading: Sendable {
  /// The token appended to a text that does not end with it; nil if the tokenizer has none. Rows of ids stay
  /// unchanged.
  var endOfText: Int32?
  /// Maximum tokens of a document: lengths and messages between ranks are 32-bit numbers.
  static let mostTokens = 1 << 30
}

extension ExampleReader {
  /// Appends a document with the number of its prompt tokens. An empty text, common in collections of
  /// documents, appends nothing.
  func read(_ row: Int, _ fields: [FieldValue], as reading: DocumentReading, into out: inout TokenRows) throws {
    let prompt = promptPlace.flatMap { fields[$0] == .absent ? nil : fields[$0] }
    var tokens: [Int32]
    let promptTokens: Int
    if let tokenizer {
      let before = try prompt.map { try text($0, columns.prompt!, row) }
      let own = try text(fields, row)
      if own.isEmpty, before == nil { return }
      tokens = tokenizer.encode((before ?? "") + own).ids
      // Counts the leading tokens shared with the prompt's own encoding; a token across the border belongs to the text.
      promptTokens = before.map { commonPrefix(tokenizer.encode($0).ids, tokens) } ?? 0
      if let end = reading.endOfText, tokens.last != end { tokens.append(end) }
    } else {
      let before = try prompt.map { try ids($0, columns.prompt!, row) } ?? []
      tokens = before + (try ids(fields[0], columns.ids!, row))
      promptTokens = before.count
    }
    if tokens.isEmpty { return }
    if tokens.count > DocumentReading.mostTokens {
      throw RetortError(
        .input, "the document has \(tokens.count) tokens, more than \(DocumentReading.mostTokens)",
        at: file.location(of: row), remedy: "cut the file into documents with \(file.settings.documents)")
    }
    out.append(tokens: tokens, typeIDs: nil, label: Int32(promptTokens), line: file.line(of: row))
  }

  private func commonPrefix(_ a: [Int32], _ b: [Int32]) -> Int {
    zip(a, b).prefix { $0 == $1 }.count
  }
}
