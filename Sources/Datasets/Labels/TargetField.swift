import Platform

/// Reads the field with a row's targets, as the kind of a task expects it.
enum TargetField {
  /// The labels in the field as written, each with its line; nil for a row without labels.
  ///
  /// Of a text with entities: O, and B-T for each. Throws `.input` for a value that cannot be labels.
  static func labels(_ field: FieldValue, of task: TaskDefinition, _ file: RowFile, _ row: Int) throws
    -> [(label: String, line: Int)]?
  {
    let line = file.line(of: row)
    if task.targets == .labelSet {
      return try set(field, of: file, row)?.map { ($0, line) }
    }
    if task.rows == .tokens {
      if case .objects(let objects) = field {
        let types = try objects.map { try EntitySpan($0, at: file.location(of: row)).label }
        return ([TagScheme.outside] + types.map { "B-\($0)" }).map { ($0, line) }
      }
      guard let tags = try tags(field, at: file.location(of: row)) else { return nil }
      return tags.enumerated().compactMap { place, tag in
        tag.map { ($0, file.format == .conll ? line + place : line) }
      }
    }
    return try LabelSet.text(of: field, at: file.location(of: row)).map { [($0, line)] }
  }

  /// The labels of a set: a list of names or numbers, or in tables text with commas between them; empty for none of
  /// them, nil for a row without labels.
  static func set(_ field: FieldValue, of file: RowFile, _ row: Int) throws -> [String]? {
    func location() -> String { file.location(of: row) }
    switch field {
    case .absent: return nil
    case .words(let names): return try distinct(names.map { String($0.trimmed) }, at: location())
    case .list(let numbers): return try distinct(try numbers.map { try whole($0, at: location()) }, at: location())
    case .text(let text):
      if text.trimmed.isEmpty { return [] }
      if file.format == .jsonl, text.contains(",") {
        throw RetortError(
          .input, "the labels are the text \(quoted(text)) with a comma in it", at: location(),
          remedy: "write a list: {\"labels\": [\"joy\", \"fear\"]}")
      }
      let names = file.format == .jsonl ? [text] : text.split(separator: ",").map(String.init)
      return try distinct(names.map { String($0.trimmed) }, at: location())
    case .integer, .flag: return try LabelSet.text(of: field, at: location()).map { [$0] }
    case .real, .objects, .other:
      throw RetortError(
        .input, "the labels are \(field.kind)", at: location(),
        remedy: file.format == .jsonl
          ? "write a list of names or numbers" : "write names or numbers with commas between them")
    }
  }

  /// The labels, if they are different names; throws `.input` otherwise, as for a bitmap, which has 1 or 0 twice.
  private static func distinct(_ labels: [String], at location: @autoclosure () -> String) throws -> [String] {
    var seen: Set<String> = []
    for label in labels where label.isEmpty || !seen.insert(label).inserted {
      let isBitmap = labels.count > 2 && labels.allSatisfy { ["0", "1"].contains($0) }
      throw RetortError(
        .input, label.isEmpty ? "a label has no name" : "the label \(quoted(label)) is in the list twice",
        at: location(),
        remedy: isBitmap
          ? "a list has the labels that hold, by name or number, and not a 1 or 0 for each: [0, 2] for [1, 0, 1]"
          : "name each label that holds once")
    }
    return labels
  }

  /// The tags of words, or of tokens; nil for one that has none (−100), and for a row without tags.
  static func tags(_ field: FieldValue, at location: @autoclosure () -> String) throws -> [String?]? {
    switch field {
    case .absent: return nil
    case .words(let tags): return tags.map { String($0.trimmed) }
    case .list(let numbers): return try numbers.map { $0 == -100 ? nil : try whole($0, at: location()) }
    default:
      throw RetortError(
        .input, "the tags are \(field.kind), a list was expected", at: location(),
        remedy: "write a tag for each word: {\"tokens\": [\"Ann\", \"left\"], \"tags\": [\"B-PER\", \"O\"]}, or with "
          + "a text its entities: [{\"start\": 0, \"end\": 3, \"label\": \"PER\"}]")
    }
  }

  /// The score; NaN for a row without one.
  static func score(_ field: FieldValue, at location: @autoclosure () -> String) throws -> Float {
    func finite(_ number: Double) throws -> Float {
      let score = Float(number)
      if score.isFinite { return score }
      throw refusal("\(number) is no finite number", at: location())
    }
    switch field {
    case .absent: return .nan
    case .integer(let number): return try finite(Double(number))
    case .real(let number): return try finite(number)
    case .text(let text):
      let text = text.trimmed
      if text.isEmpty { return .nan }
      guard let number = Double(text) else { throw refusal("\(quoted(String(text))) is no number", at: location()) }
      return try finite(number)
    case .flag, .list, .words, .objects, .other: throw refusal("\(field.kind) is no number", at: location())
    }
  }

  private static func refusal(_ what: String, at location: String) -> RetortError {
    RetortError(
      .input, "the score: \(what)", at: location,
      remedy: "correct the row, or leave its score out; for classes use task: {kind: classification}")
  }

  private static func whole(_ number: Double, at location: String) throws -> String {
    if let whole = Int(exactly: number) { return String(whole) }
    throw RetortError(
      .input, "the label \(number) is a number with a fraction", at: location, remedy: "labels are integers or names")
  }
}

/// An entity of a text: its characters and its type.
struct EntitySpan: Equatable, Sendable {
  /// The characters (Unicode scalars) from the first to the one after the last.
  let range: Range<Int>
  let label: String
  /// Its characters as the row has them; nil: it does not say.
  let text: String?

  /// Parses `{"start": 3, "end": 8, "label": "PER"}`; throws `.input` for anything else.
  init(_ members: [String: FieldValue], at location: String) throws {
    let (type, remedy) = (
      members["label"] ?? members["type"] ?? members["entity"],
      "write {\"start\": 3, \"end\": 8, \"label\": \"PER\"}, in characters"
    )
    guard let first = members["start"], let last = members["end"], let type else {
      throw RetortError(
        .input, "an entity has no start, end and label (found: \(quoted(list: members.keys.sorted())))", at: location,
        remedy: remedy)
    }
    guard case .integer(let start) = first, case .integer(let end) = last, case .text(let label) = type, !label.isEmpty
    else {
      var what = "start and end of an entity are \(first.kind) and \(last.kind), whole numbers were expected"
      if case .integer = first, case .integer = last {
        what = "the label of an entity is \(type == .text("") ? "empty" : type.kind)"
      }
      throw RetortError(.input, what, at: location, remedy: remedy)
    }
    if start < 0 {
      throw RetortError(
        .input, "the entity \(quoted(label)) starts at \(start)", at: location,
        remedy: "start is the place of its first character, from 0")
    }
    if end <= start {
      throw RetortError(
        .input, "the entity \(quoted(label)) from \(start) to \(end) has no characters", at: location,
        remedy: "end is the place after its last character")
    }
    range = start..<end
    self.label = label
    text = if case .text(let text)? = members["text"] { text } else { nil }
  }
}
