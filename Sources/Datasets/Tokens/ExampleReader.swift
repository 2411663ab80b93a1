import Dispatch
import Platform
import Tokenizers

/// Converts rows of a file to token ids and classes.
struct ExampleReader: Sendable {
  let file: RowFile
  let columns: DatasetColumns
  let labels: LabelSet?
  let tokenizer: (any Tokenizer)?
  let maxLength: Int?
  /// How documents are read; nil: each row is an example.
  let documents: DocumentReading?
  let task: TaskDescription
  /// What the rows have as targets.
  let targets: RowTargets
  /// The windows of texts longer than `maxLength`; nil: they are cut.
  let windows: TextWindows?
  private let selection: RowSelection
  // Indices of the columns in the selection.
  private let textPlaces: Range<Int>
  let pairPlaces: Range<Int>?
  private let labelPlace: Int?
  let promptPlace: Int?

  /// Throws `.input` if the file lacks a column, or has text and there is no tokenizer; `.configuration` if neither
  /// text nor ids are named.
  ///
  /// - Parameter columns: `label` is nil if no label is read.
  init(
    _ file: RowFile, _ columns: DatasetColumns, of task: TaskDescription = TaskDescription(kind: .classification),
    labels: LabelSet?, tokenizer: (any Tokenizer)?, maxLength: Int?, documents: DocumentReading? = nil
  ) throws {
    var columns = columns
    if documents == nil { columns.prompt = nil }
    if columns.ids != nil { columns.tokens = nil }
    if columns.ids ?? columns.tokens != nil { columns.text = nil }
    guard let first = (columns.ids ?? columns.tokens).map({ [$0] }) ?? columns.text?.names else {
      throw RetortError(.configuration, "neither a text column nor an ids column is named", at: file.path)
    }
    if columns.ids == nil && tokenizer == nil {
      throw RetortError(
        .input, "the data is text and there is no tokenizer to read it", at: file.path,
        remedy: "put tokenizer.json, a SentencePiece model or vocab.txt into the model directory, "
          + (file.settings == .chainFile ? "name one under tokenizer in a student_base that is written out, " : "")
          + "or give data with ids")
    }
    self.file = file
    self.columns = columns
    self.labels = labels
    self.tokenizer = columns.ids == nil ? tokenizer : nil
    self.maxLength = maxLength
    self.documents = documents
    self.task = task
    if let special = self.tokenizer?.enclosingTokens, let maxLength, documents == nil, maxLength <= special {
      throw RetortError(
        .configuration, "a maximum of \(maxLength) tokens leaves none for the text: \(special) are special",
        at: file.settings.maxLength, remedy: "give \(special + 1) or more")
    }
    windows = try task.windows(tokenizer: self.tokenizer, maxLength: maxLength)
    targets = RowTargets(task.definition, labels: labels?.count)
    var names = first
    textPlaces = 0..<names.count
    let pair = columns.text == nil ? nil : columns.textPair?.names
    pairPlaces = pair.map { names.count..<(names.count + $0.count) }
    names += pair ?? []
    // Without a label set, a label has no meaning.
    let isRead = task.definition.hasLabels ? labels != nil : task.labelUse != .unread
    labelPlace = columns.label != nil && isRead ? names.count : nil
    if let label = columns.label, labelPlace != nil { names.append(label) }
    promptPlace = columns.prompt == nil ? nil : names.count
    if let prompt = columns.prompt { names.append(prompt) }
    selection = try file.select(names)
  }

  /// Appends rows of the file; throws `.input` with the line of the first refused row.
  func read(_ rows: Range<Int>, into out: inout TokenRows) throws {
    for row in rows { try read(row, into: &out) }
  }

  /// Reads rows on several threads; the result equals that of one thread.
  ///
  /// If rows are refused, returns the first of them with its error.
  func read(_ rows: Range<Int>, threads: Int) -> (parts: [TokenRows], failure: (row: Int, error: any Error)?) {
    let pieces = min(max(1, threads), max(1, rows.count))
    let results = ResultSlots(pieces)
    DispatchQueue.concurrentPerform(iterations: pieces) { piece in
      var part = TokenRows()
      for row in slice(rows, part: piece, of: pieces) {
        if row % 64 == 0 { Activity.tick() }
        do { try read(row, into: &part) } catch {
          results.failures[piece] = (row, error)
          break
        }
      }
      results.parts[piece] = part
    }
    return (Array(results.parts), results.failures.lazy.compactMap { $0 }.first)
  }

  private func read(_ row: Int, into out: inout TokenRows) throws {
    let fields = try file.read(row, selection)
    if let documents { return try read(row, fields, as: documents, into: &out) }
    let field = labelPlace.map { fields[$0] } ?? .absent
    if task.definition.rows == .tokens { return try readTagged(row, fields, tags: field, into: &out) }
    let line = file.line(of: row)
    if targets == .sequences { return try readSequences(row, fields, score: field, into: &out) }
    let (label, targets) = try target(field, row)
    guard let tokenizer else {
      var ids = try ids(fields[0], columns.ids!, row)
      if cut(&ids) { out.noteCut(line: line) }
      return out.append(tokens: ids, typeIDs: nil, label: label, targets: targets, line: line)
    }
    let text = try text(fields, row)
    let pair = try pairPlaces.map { try joined(fields, $0, columns.textPair, row) }
    let (encoding, isCut) = tokenizer.encodeNotingCuts(text, pair: pair, maxLength: maxLength)
    try requireTokens(encoding.ids, row)
    if isCut { out.noteCut(line: line) }
    out.append(tokens: encoding.ids, typeIDs: encoding.typeIDs, label: label, targets: targets, line: line)
  }

  /// Cuts what is beyond the maximum length; returns whether there was any.
  func cut(_ values: inout [Int32]) -> Bool {
    guard let maxLength, values.count > maxLength else { return false }
    values.removeLast(values.count - maxLength)
    return true
  }

  /// Throws `.input` for a text without tokens.
  func requireTokens(_ ids: [Int32], _ row: Int) throws {
    if !ids.isEmpty { return }
    throw RetortError(
      .input, "the text becomes no tokens at all", at: file.location(of: row), remedy: "remove the row or fill it")
  }

  /// The target of a row that is one example: `label` and words as `RowTargets` says.
  private func target(_ field: FieldValue, _ row: Int) throws -> (label: Int32, words: [Int32]) {
    switch targets {
    case .tokens, .sequences: preconditionFailure("targets of tokens and sequences are read with these")
    // A text that is not read as a document, such as one whose likelihood is asked for, has no prompt.
    case .nextTokens: return (0, [])
    case .label: return (try labels?.index(of: field, at: file.location(of: row)) ?? -1, [])
    case .values(let count):
      var values = [Float](repeating: .nan, count: count)
      if task.definition.targets == .score {
        values[0] = try TargetField.score(field, at: file.location(of: row))
      } else if let labels, let names = try TargetField.set(field, of: file, row) {
        values = [Float](repeating: 0, count: count)
        for name in names {
          guard let index = labels.index(of: name) else { throw labels.refusal(of: name, at: file.location(of: row)) }
          values[Int(index)] = 1
        }
      }
      return (values.contains(where: \.isNaN) ? -1 : 0, values.map { Int32(bitPattern: $0.bitPattern) })
    }
  }

  /// The text of a row, or the first text of a pair.
  func text(_ fields: [FieldValue], _ row: Int) throws -> String { try joined(fields, textPlaces, columns.text, row) }

  /// The text of one column, or the texts of several joined by the separator; empty ones of several are left out.
  func joined(_ fields: [FieldValue], _ places: Range<Int>, _ columns: TextColumns?, _ row: Int) throws
    -> String
  {
    let names = columns?.names ?? []
    if places.count == 1 { return try text(fields[places.lowerBound], names[0], row) }
    var parts: [String] = []
    for (place, name) in zip(places, names) where fields[place] != .absent {
      let part = try text(fields[place], name, row)
      if !part.isEmpty { parts.append(part) }
    }
    if parts.isEmpty, places.allSatisfy({ fields[$0] == .absent }) {
      throw missing(names.joined(separator: " + "), row)
    }
    return parts.joined(separator: TextColumns.separator)
  }

  func text(_ field: FieldValue, _ column: String, _ row: Int) throws -> String {
    if case .text(let text) = field { return text }
    if field == .absent { throw missing(column, row) }
    throw RetortError(
      .input, "\"\(column)\" is \(field.kind), text was expected", at: file.location(of: row),
      remedy: "put the value in quotes")
  }

  func ids(_ field: FieldValue, _ column: String, _ row: Int) throws -> [Int32] {
    guard case .list(let numbers) = field else {
      if field == .absent { throw missing(column, row) }
      throw RetortError(
        .input, "\"\(column)\" is \(field.kind), a list of token ids was expected", at: file.location(of: row),
        remedy: file.format == .jsonl ? "write {\"\(column)\": [101, …, 102]}" : "ids are read from JSON Lines only")
    }
    if numbers.isEmpty {
      throw RetortError(
        .input, "\"\(column)\" has no ids", at: file.location(of: row), remedy: "remove the row or fill it")
    }
    return try numbers.map { number in
      guard let id = Int32(exactly: number), id >= 0 else {
        let shown = Int(exactly: number).map(String.init) ?? "\(number)"
        throw RetortError(
          .input, "\"\(column)\" holds \(shown), which is no token id", at: file.location(of: row),
          remedy: "ids are integers from 0 to the vocabulary's size less one")
      }
      return id
    }
  }

  func missing(_ column: String, _ row: Int) -> RetortError {
    let names = (try? file.names(of: row)) ?? []
    if names.contains(column) {
      return RetortError(
        .input, "\(quoted(column)) is null", at: file.location(of: row), remedy: "remove the row or fill it")
    }
    let near = nearestName(to: column, among: names).map { "did you mean \(quoted($0))? Otherwise " } ?? ""
    return RetortError(
      .input, "the row has no \(quoted(column)); found: \(quoted(list: names))", at: file.location(of: row),
      remedy: near + "give every row the same columns")
  }
}

/// One result slot per piece of a parallel read.
private final class ResultSlots: @unchecked Sendable {
  // Unchecked: each piece writes only its own slot, and the slots are read after all pieces are done.
  let parts: UnsafeMutableBufferPointer<TokenRows>
  let failures: UnsafeMutableBufferPointer<(row: Int, error: any Error)?>

  init(_ count: Int) {
    parts = .allocate(capacity: count)
    parts.initialize(repeating: TokenRows())
    failures = .allocate(capacity: count)
    failures.initialize(repeating: nil)
  }

  deinit {
    parts.deinitialize()
    parts.deallocate()
    failures.deinitialize()
    failures.deallocate()
  }
}

/// The `part`-th of `parts` consecutive ranges of about equal size that divide `range`.
func slice(_ range: Range<Int>, part: Int, of parts: Int) -> Range<Int> {
  let lower = range.lowerBound + range.count * part / parts
  return lower..<(range.lowerBound + range.count * (part + 1) / parts)
}
