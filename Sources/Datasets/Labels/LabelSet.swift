import Platform

/// How the labels of a data set are read, the same for all its rows.
package enum LabelReading: String, Sendable, CaseIterable {
  /// Names of classes, ignoring case.
  case name
  /// Indices of classes in the model's outputs, from 0.
  case index
  /// Indices of classes, counted from 1.
  case indexFromOne = "index_from_1"
  /// True for class 1, false for class 0.
  case boolean
}

/// The classes of a task, in the order of the model's outputs.
package struct LabelSet: Sendable, Equatable {
  /// The names of the classes; nil if only their number is known.
  package let names: [String]?
  /// C, the number of classes.
  package let count: Int
  /// How labels are read; nil: not decided yet, see `deciding(_:told:usual:)`.
  package let reading: LabelReading?
  /// How messages name settings.
  package var settings = SettingNames.chainFile
  private let indexByName: [String: Int32]

  /// - Parameters:
  ///   - names: one name per class; labels match ignoring case.
  package init(names: [String], reading: LabelReading? = nil) {
    self.init(names: names, count: names.count, reading: reading)
  }

  /// Classes 0 ..< count without names; Hugging Face names them `LABEL_0`, `LABEL_1`, ….
  package init(count: Int, reading: LabelReading? = nil) { self.init(names: nil, count: count, reading: reading) }

  private init(names: [String]?, count: Int, reading: LabelReading?) {
    self.names = names
    self.count = count
    self.reading = reading
    indexByName = Dictionary(
      (names ?? (0..<count).map { "label_\($0)" }).enumerated().map { ($1.lowercased(), Int32($0)) },
      uniquingKeysWith: { first, _ in first })
  }

  /// The same classes with a decided reading of labels.
  package func reading(_ reading: LabelReading) -> LabelSet {
    var copy = LabelSet(names: names, count: count, reading: reading)
    copy.settings = settings
    return copy
  }

  /// The class of a label, or nil; without a decided reading, the label is first read as a name, then as a number in
  /// 0 ..< C.
  package func index(of label: String) -> Int32? {
    guard let reading else { return index(of: label, by: .name) ?? index(of: label, by: .index) }
    return index(of: label, by: reading)
  }

  /// The class of a label under one reading, or nil.
  func index(of label: String, by reading: LabelReading) -> Int32? {
    switch reading {
    case .name:
      if let found = indexByName[label] ?? indexByName[label.lowercased()] { return found }
      // Programs write class 1 as 1.0 if other rows of the column are empty.
      return LabelSet.number(label).flatMap { indexByName[String($0)] }
    case .index, .indexFromOne:
      guard let number = LabelSet.number(label) else { return nil }
      let first = reading == .index ? 0 : 1
      return (first..<(count + first)).contains(number) ? Int32(number - first) : nil
    case .boolean:
      guard count == 2, let flag = LabelSet.flag(label) else { return nil }
      return flag ? 1 : 0
    }
  }

  /// The whole number that a label represents: `2`, `-1`, `2.0`; nil for other text.
  static func number(_ label: String) -> Int? {
    if let number = Int(label) { return number }
    let parts = label.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[1].isEmpty, parts[1].allSatisfy({ $0 == "0" }) else { return nil }
    return Int(parts[0])
  }

  /// The truth value that a label represents: `true`, `False`; nil for other text.
  static func flag(_ label: String) -> Bool? {
    switch label.lowercased() {
    case "true": true
    case "false": false
    default: nil
    }
  }

  /// The name of a class, or its index as text.
  package func name(of index: Int) -> String { names.map { $0[index] } ?? String(index) }

  /// Throws if two names are equal ignoring case: `.configuration` for a chain, `.input` for a model's config.json.
  package func requireDistinctNames() throws {
    guard let names, indexByName.count < names.count else { return }
    throw RetortError(
      settings == .chainFile ? .configuration : .input, "the class names are not distinct: \(description)",
      at: settings == .chainFile ? "metadata.task.labels" : "id2label of the model's config.json",
      remedy: "give every class a name of its own; case does not count")
  }

  /// The classes as text for messages: `0 (negative), 1 (positive)`.
  package var description: String {
    guard let names else { return count == 1 ? "0" : "0 to \(count - 1)" }
    let shown = names.prefix(20).enumerated().map { "\($0) (\($1.prefix(60)))" }.joined(separator: ", ")
    return names.count > 20 ? shown + ", … (\(names.count) in all)" : shown
  }

  /// The class of a field, -1 if it is absent or blank; throws `.input` with the classes for a label outside the set.
  func index(of field: FieldValue, at location: @autoclosure () -> String) throws -> Int32 {
    guard let label = try LabelSet.text(of: field, at: location()) else { return -1 }
    if let index = index(of: label) { return index }
    throw refusal(of: label, at: location())
  }

  /// The error for a label outside the set.
  func refusal(of label: String, at location: String) -> RetortError {
    if label == "-1" {
      return RetortError(
        .input, "the label \"-1\" is not in the set: \(description)", at: location,
        remedy: "public test files hide their labels behind -1: use a split with labels, or leave the label of the "
          + "row out; if -1 is a class, \(settings.classes)")
    }
    let near =
      names.flatMap { nearestName(to: label, among: $0) }.map { "did you mean \(quoted($0))? Otherwise " } ?? ""
    return RetortError(
      .input, "the label \(quoted(label)) is not in the set: \(description)", at: location,
      remedy: near + settings.classes)
  }

  /// The label in a field as written, nil if absent or blank; throws `.input` for a value that cannot be a label.
  static func text(of field: FieldValue, at location: @autoclosure () -> String) throws -> String? {
    switch field {
    case .absent: return nil
    case .text(let text):
      let trimmed = text.trimmed
      return trimmed.isEmpty ? nil : String(trimmed)
    case .integer(let number): return String(number)
    case .real(let number):
      if let whole = Int(exactly: number) { return String(whole) }
      throw RetortError(
        .input, "the label \(number) is a number with a fraction", at: location(),
        remedy: "labels are integers or names; targets that are numbers are not trained")
    case .flag(let flag): return flag ? "true" : "false"
    case .list, .words, .objects, .other:
      throw RetortError(
        .input, "the label is \(field.kind)", at: location(), remedy: "labels are integers or names")
    }
  }
}
