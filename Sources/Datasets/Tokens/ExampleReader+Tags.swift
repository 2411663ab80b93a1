import Platform
import Tokenizers

// Rows whose words or tokens have tags.
extension ExampleReader {
  /// Appends a row of ids, of words, or of a text with entities.
  func readTagged(_ row: Int, _ fields: [FieldValue], tags: FieldValue, into out: inout TokenRows) throws {
    let line = file.line(of: row)
    if let name = columns.ids {
      var ids = try ids(fields[0], name, row)
      var targets = try targets(tags, row, for: ids.count, "ids")
      if cut(&ids), cut(&targets) { out.noteCut(line: line) }
      return append(ids, nil, targets, row, &out)
    }
    guard let tokenizer else { preconditionFailure("text is read without a tokenizer") }
    let words = try words(fields, row)
    let targets = try targets(tags, row, of: words)
    let encoding = words.encoded(by: tokenizer, maxLength: windows == nil ? maxLength : nil)
    let read = RowWords.counted(encoding, task.subwords)
    if let windows, encoding.ids.count > windows.length {
      let cut = windows.cut(encoding, read)
      let counted = cut.words.map { $0 < 0 ? Batch.uncounted : targets[Int($0)] }
      return append(cut.ids, cut.typeIDs, counted, row, &out)
    }
    var counted = [Int32](repeating: Batch.uncounted, count: encoding.ids.count)
    for place in read { counted[place.token] = targets[place.word] }
    if windows == nil, let maxLength, encoding.ids.count >= maxLength, let last = read.last,
      last.word < words.texts.count - 1
    {
      out.noteCut(line: line)
    }
    append(encoding.ids, encoding.typeIDs, counted, row, &out)
  }

  private func append(_ ids: [Int32], _ types: [Int32]?, _ targets: [Int32], _ row: Int, _ out: inout TokenRows) {
    out.append(
      tokens: ids, typeIDs: types, label: RowTargets.label(of: targets), targets: targets, line: file.line(of: row))
  }

  /// The words of a row.
  private func words(_ fields: [FieldValue], _ row: Int) throws -> RowWords {
    if let name = columns.tokens {
      if fields[0] == .list([]), labels == nil { return RowWords(words: []) }
      guard case .words(let words) = fields[0] else {
        if fields[0] == .absent { throw missing(name, row) }
        throw RetortError(
          .input, "\(quoted(name)) is \(fields[0].kind), a list of words was expected", at: file.location(of: row),
          remedy: "write {\(quoted(name)): [\"Ann\", \"left\"], …}")
      }
      return RowWords(words: words)
    }
    let words = RowWords(text: try text(fields, row))
    // Without targets a row without words has an answer: none.
    if words.texts.isEmpty, labels != nil {
      throw RetortError(
        .input, "the text has no words", at: file.location(of: row), remedy: "remove the row or fill it")
    }
    return words
  }

  /// The target of each word of a row: from a tag for each word, or from the entities of a text.
  private func targets(_ tags: FieldValue, _ row: Int, of words: RowWords) throws -> [Int32] {
    guard let text = words.text, labels != nil, tags != .absent else {
      return try targets(tags, row, for: words.texts.count, "words")
    }
    guard case .objects(let objects) = tags else {
      if tags == .list([]) { return try targets(of: words.tags(of: []), row) }
      throw RetortError(
        .input, "\(quoted(columns.label ?? "entities")) of a text is \(tags.kind), a list of objects was expected",
        at: file.location(of: row),
        remedy: "write {\"text\": \"…\", \"entities\": [{\"start\": 3, \"end\": 8, \"label\": \"PER\"}]}")
    }
    let spans = try objects.map { try EntitySpan($0, at: file.location(of: row)) }
    try check(spans, of: text, words, row)
    return try targets(of: words.tags(of: spans), row)
  }

  /// Throws `.input` for spans that end after the text, overlap, are not what the row says, or have no words of their
  /// own.
  private func check(_ spans: [EntitySpan], of text: String, _ words: RowWords, _ row: Int) throws {
    let scalars = Array(text.unicodeScalars)
    let length = scalars.count
    func refuse(_ span: EntitySpan, _ what: String, _ remedy: String) -> RetortError {
      RetortError(
        .input, "the entity \(quoted(span.label)) from \(span.range.lowerBound) to \(span.range.upperBound) \(what)",
        at: file.location(of: row), remedy: remedy)
    }
    let unit = "start and end count characters (Unicode code points), not bytes"
    if let outside = spans.first(where: { $0.range.upperBound > length }) {
      throw refuse(outside, "is outside the text, which has \(length) characters", unit)
    }
    let sorted = spans.sorted { $0.range.lowerBound < $1.range.lowerBound }
    for (a, b) in zip(sorted, sorted.dropFirst()) where b.range.lowerBound < a.range.upperBound {
      throw RetortError(
        .input,
        "the entities \(quoted(a.label)) (\(a.range.lowerBound) to \(a.range.upperBound)) and \(quoted(b.label)) "
          + "(\(b.range.lowerBound) to \(b.range.upperBound)) overlap", at: file.location(of: row),
        remedy: "a word has one tag: leave one of them out")
    }
    var word = 0
    var previous: EntitySpan?
    for span in sorted {
      let own = String(scalars: scalars[span.range])
      if let said = span.text, !own.utf8.elementsEqual(said.utf8) {
        throw refuse(span, "is \(quoted(own)) and not \(quoted(said))", unit)
      }
      while word < words.ranges.count, words.ranges[word].upperBound <= span.range.lowerBound { word += 1 }
      guard word < words.ranges.count, words.ranges[word].overlaps(span.range) else {
        throw refuse(span, "has no word", "correct its place, or leave it out")
      }
      if let previous, words.ranges[word].overlaps(previous.range) {
        throw refuse(
          span, "shares the word \(quoted(words.texts[word])) with \(quoted(previous.label))",
          "a word has one tag: leave one of them out, or put a space between them")
      }
      previous = span
    }
  }

  private func targets(of tags: [String], _ row: Int) throws -> [Int32] {
    try tags.map { try target(of: $0, at: file.location(of: row)) }
  }

  private func target(of tag: String, at location: @autoclosure () -> String) throws -> Int32 {
    guard let labels else { return Batch.unlabelled }
    if let index = labels.index(of: tag) { return index }
    throw labels.refusal(of: tag, at: location())
  }

  /// The targets of the tags in a field, as many as there are words or ids.
  private func targets(_ field: FieldValue, _ row: Int, for count: Int, _ what: String) throws -> [Int32] {
    guard labels != nil, let tags = try TargetField.tags(field, at: file.location(of: row)) else {
      return [Int32](repeating: Batch.unlabelled, count: count)
    }
    if tags.count != count {
      throw RetortError(
        .input, "the row has \(count) \(what) and \(tags.count) tags", at: file.location(of: row),
        remedy: "give each of the \(what) one tag")
    }
    return try tags.enumerated().map { place, tag in
      try tag.map { try target(of: $0, at: file.location(of: row, word: place)) } ?? Batch.uncounted
    }
  }
}
