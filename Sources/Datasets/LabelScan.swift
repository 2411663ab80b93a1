import Collectives
import Platform

/// All distinct labels of a split, with the line where each occurs first.
public struct LabelScan: Sendable {
  /// One label as it is written.
  public struct Entry: Sendable, Equatable {
    /// The text of the field without blanks around it; a whole number in digits.
    public let label: String
    /// The line of its first row, over all files of the split.
    public let line: Int
    /// How many rows have it.
    public let count: Int
  }

  /// What messages call the split that was read.
  public let path: String
  /// Integers by value, or names in alphabetical order.
  public let entries: [Entry]
  /// Whether all labels are integers.
  public let areIntegers: Bool
  /// Whether all labels are text of JSON, which has numbers and truth values besides.
  public let isText: Bool
  /// The line of the first row without a label.
  public let firstUnlabelledLine: Int?
  private let file: RowFile

  /// More classes than any head should have: such a column is something else.
  private static let mostClasses = 100_000

  /// Reads the labels of all rows, a slice a rank. Collective; all ranks throw the same error.
  public init(_ file: RowFile, column: String, on communicator: any Communicator) throws {
    self.file = file
    path = file.path
    let own = try communicator.agree {
      try LabelScan.count(file, column, slice(0..<file.count, part: communicator.rank, of: communicator.size))
    }
    var together = Tally()
    for text in try communicator.allGather(text: own.json.text()) { together.add(Tally(try JSON(parsing: text))) }
    firstUnlabelledLine = together.unlabelled
    isText = file.format == .jsonl && !together.hasValues
    areIntegers = together.labels.keys.allSatisfy { LabelSet.number($0) != nil }
    let sorted =
      areIntegers
      ? together.labels.sorted { (LabelSet.number($0.key) ?? 0, $0.key) < (LabelSet.number($1.key) ?? 0, $1.key) }
      : together.labels.sorted { $0.key < $1.key }
    entries = sorted.map { Entry(label: $0.key, line: $0.value.line, count: $0.value.count) }
  }

  /// What labels are in this file where they can be read in two ways, as the task knows it; nil: it does not.
  public func usualReading(of task: TaskDescription) -> LabelReading? { task.usualReading(in: file) }

  /// `path:line` of a label's first row.
  func location(of entry: Entry) -> String { file.location(ofLine: entry.line) }

  /// The set that the labels of a training split make, and what the user should know of it.
  ///
  /// Numbers make the classes 0 … the largest; where none is 0, in training or validation, classes named "1" … the
  /// largest, or, from 2 up, named as the numbers that occur. Truth values make false and true, anything else names in
  /// alphabetical order. Throws `.input` for negative or absurdly many classes, numbers with a fraction, numbers among
  /// names, and where no row has a label.
  ///
  /// - Parameter told: what the user says that labels are; it then has to be true of all of them.
  public func labelSet(validation: LabelScan? = nil, told: LabelReading? = nil) throws -> (
    set: LabelSet, notes: [String]
  ) {
    if let told { return try given(told).deciding([self] + [validation].compactMap { $0 }, told: told) }
    guard let first = entries.first, let last = entries.last else {
      throw RetortError(.input, "no row has a label", at: path, remedy: file.settings.label)
    }
    if entries.allSatisfy({ LabelSet.flag($0.label) != nil }) {
      return (LabelSet(names: ["false", "true"], reading: .name), [])
    }
    guard areIntegers else {
      try refuse(entries.count > LabelScan.mostClasses, first, "is one of \(entries.count) different ones")
      if let number = entries.first(where: { LabelScan.isNumber($0.label) }) {
        let name = entries.first { !LabelScan.isNumber($0.label) }
        try refuse(
          true, number,
          name.map { "is a number, and \(quoted($0.label)) (\(location(of: $0))) is none" }
            ?? "is one of numbers with a fraction, which are no classes; targets that are numbers are not trained")
      }
      return (LabelSet(names: entries.map(\.label), reading: .name), [])
    }
    let (low, high) = (LabelSet.number(first.label) ?? 0, LabelSet.number(last.label) ?? 0)
    try refuse(low < 0, first, "is negative")
    try refuse(high >= LabelScan.mostClasses, last, "would make as many classes")
    let others = (validation?.entries ?? []).compactMap { LabelSet.number($0.label) }
    if low == 0 || others.contains(0) { return (LabelSet(count: high + 1, reading: .index), []) }
    let names =
      low == 1
      ? (1...high).map(String.init) : Set(entries.compactMap { LabelSet.number($0.label) }).sorted().map(String.init)
    let note =
      "the labels of \(path) have no 0: \(names.count) classes, named \(names.prefix(10).joined(separator: ", "))"
      + (names.count > 10 ? ", …" : "")
    return (LabelSet(names: names, reading: .name), [note])
  }

  /// The set that the labels make when they are read in one way, whether or not all of them can be.
  private func given(_ reading: LabelReading) throws -> LabelSet {
    guard let last = entries.last else { return try labelSet().set }
    let high = entries.compactMap { LabelSet.number($0.label) }.max() ?? 0
    try refuse(high >= LabelScan.mostClasses && reading != .name, last, "would make as many classes")
    try refuse(entries.count > LabelScan.mostClasses, last, "is one of \(entries.count) different ones")
    switch reading {
    case .name: return LabelSet(names: entries.map(\.label))
    case .index: return LabelSet(count: max(2, high + 1))
    case .indexFromOne: return LabelSet(count: max(2, high))
    case .boolean: return LabelSet(names: ["false", "true"])
    }
  }

  /// The refusal of a training file all of whose labels are one.
  public func ofOneClass(_ name: String) -> RetortError {
    RetortError(
      .input, "every label is \(quoted(name)): a classifier needs rows of two classes", at: path,
      remedy: "check that the label column is the right one, or \(file.settings.classes)")
  }

  /// Throws `.input` with the line for the first label that is outside a set.
  public func check(against set: LabelSet) throws {
    let outside = entries.filter { set.index(of: $0.label) == nil }
    guard let first = outside.min(by: { $0.line < $1.line }) else { return }
    _ = try set.index(of: .text(first.label), required: true, at: location(of: first))
  }

  private static func isNumber(_ label: String) -> Bool { Double(label)?.isFinite ?? false }

  private func refuse(_ condition: Bool, _ entry: Entry, _ why: String) throws {
    if condition {
      throw RetortError(
        .input, "the label \(quoted(entry.label)) \(why)", at: location(of: entry),
        remedy: "check that the label column is the right one, or \(file.settings.classes)")
    }
  }

  private static func count(_ file: RowFile, _ column: String, _ rows: Range<Int>) throws -> Tally {
    let selection = try file.select([column])
    var tally = Tally()
    for row in rows {
      let field = try file.read(row, selection)[0]
      switch field {
      case .integer, .real, .flag: tally.hasValues = true
      default: break
      }
      let label = try LabelSet.text(of: field, at: file.location(of: row))
      tally.add(label, line: file.line(of: row), count: 1)
    }
    return tally
  }
}

/// Labels counted over some rows.
private struct Tally {
  var labels: [String: (line: Int, count: Int)] = [:]
  var unlabelled: Int?
  /// Whether a label is a number or a truth value of JSON.
  var hasValues = false

  init() {}

  mutating func add(_ label: String?, line: Int, count: Int) {
    guard let label else {
      unlabelled = min(unlabelled ?? line, line)
      return
    }
    let known = labels[label] ?? (line, 0)
    labels[label] = (min(known.line, line), known.count + count)
  }

  mutating func add(_ other: Tally) {
    if let line = other.unlabelled { add(nil, line: line, count: 0) }
    hasValues = hasValues || other.hasValues
    for (label, entry) in other.labels { add(label, line: entry.line, count: entry.count) }
  }

  var json: JSON {
    .object([
      "unlabelled": unlabelled.map { .int($0) } ?? .null, "values": .bool(hasValues),
      "labels": .object(labels.mapValues { .array([.int($0.line), .int($0.count)]) }),
    ])
  }

  init(_ json: JSON) {
    unlabelled = json["unlabelled"]?.int
    hasValues = json["values"]?.bool ?? false
    labels = (json["labels"]?.object ?? [:]).mapValues {
      ($0.array?.first?.int ?? 0, $0.array?.last?.int ?? 0)
    }
  }
}
