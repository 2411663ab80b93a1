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
    case .words(let names): return names.map { String($0.trimmed) }
    case .list(let numbers): return try numbers.map { try whole($0, at: location()) }
    case .text(let text):
      if text.trimmed.isEmpty { return [] }
      return file.format == .jsonl
        ? [String(text.trimmed)] : text.split(separator: ",").map { String($0.trimmed) }
    case .integer, .flag: return try LabelSet.text(of: field, at: location()).map { [$0] }
    case .real, .objects, .other:
      throw RetortError(
        .input, "the labels are \(field.kind)", at: location(),
        remedy: "write a list of names or numbers, or text with commas between them")
    }
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
        remedy: "write a tag for each word: {\"tokens\": [\"Ann\", \"left\"], \"tags\": [\"B-PER\", \"O\"]}")
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

  /// Parses `{"start": 3, "end": 8, "label": "PER"}`; throws `.input` for anything else.
  init(_ members: [String: FieldValue], at location: String) throws {
    guard case .integer(let start)? = members["start"], case .integer(let end)? = members["end"],
      case .text(let label)? = members["label"] ?? members["type"] ?? members["entity"], !label.isEmpty
    else {
      throw RetortError(
        .input, "an entity has no start, end and label (found: \(quoted(list: members.keys.sorted())))", at: location,
        remedy: "write {\"start\": 3, \"end\": 8, \"label\": \"PER\"}, in characters")
    }
    if start < 0 || end <= start {
      throw RetortError(
        .input, "the entity \(quoted(label)) from \(start) to \(end) has no characters", at: location,
        remedy: "end is the place after its last character")
    }
    range = start..<end
    self.label = label
  }
}
