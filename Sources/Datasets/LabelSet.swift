import Platform

/// The classes of a task, in the order of the model's outputs.
public struct LabelSet: Sendable, Equatable {
  /// The names of the classes, or nil where only their number is known.
  public let names: [String]?
  /// C.
  public let count: Int
  private let indexByName: [String: Int32]

  /// - Parameters:
  ///   - names: a name a class; case does not matter when labels are read.
  public init(names: [String]) {
    self.names = names
    count = names.count
    indexByName = Dictionary(
      names.enumerated().map { ($1.lowercased(), Int32($0)) }, uniquingKeysWith: { first, _ in first })
  }

  /// Classes 0 ..< count without names.
  public init(count: Int) {
    names = nil
    self.count = count
    indexByName = [:]
  }

  /// The class that a label means: a name of the set, or else a number within 0 ..< C.
  public func index(of label: String) -> Int32? {
    if let found = indexByName[label] ?? indexByName[label.lowercased()] { return found }
    guard let number = Int32(label), number >= 0, number < count else { return nil }
    return number
  }

  /// Throws `.configuration` where two classes have the same name, by which neither could be told.
  public func requireDistinctNames() throws {
    guard let names, indexByName.count < names.count else { return }
    throw RetortError(
      .configuration, "the class names are not distinct: \(description)", at: "metadata.task.labels",
      remedy: "give every class a name of its own; case does not count")
  }

  /// The set in words, for messages: `0 (negative), 1 (positive)`.
  public var description: String {
    guard let names else { return count == 1 ? "0" : "0 to \(count - 1)" }
    let shown = names.prefix(20).enumerated().map { "\($0) (\($1))" }.joined(separator: ", ")
    return names.count > 20 ? shown + ", … (\(names.count) in all)" : shown
  }

  /// The class of a field, or -1 where it is absent; throws `.input` with the set for a label outside it.
  func index(of field: FieldValue, required: Bool, at location: @autoclosure () -> String) throws -> Int32 {
    guard let label = try LabelSet.text(of: field, at: location()) else {
      if !required { return -1 }
      throw RetortError(
        .input, "the row has no label", at: location(), remedy: "give every row one of: \(description)")
    }
    if let index = index(of: label) { return index }
    // Public test files hide their labels behind -1.
    if !required && label == "-1" { return -1 }
    throw RetortError(
      .input, "the label \"\(label)\" is not in the set: \(description)", at: location(),
      remedy: names == nil && Int(label) == nil
        ? "name the classes in order: task: {labels: […]}"
        : "correct the row, or the set under task: {labels: […]}")
  }

  /// A label as it is written, or nil where the field is absent or blank.
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
    case .list, .other:
      throw RetortError(
        .input, "the label is \(field.kind)", at: location(), remedy: "labels are integers or names")
    }
  }
}
