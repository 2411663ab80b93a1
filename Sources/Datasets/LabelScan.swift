import Collectives
import Platform

/// All distinct labels of a file, with the line where each occurs first.
public struct LabelScan: Sendable {
  /// One label as it is written.
  public struct Entry: Sendable, Equatable {
    /// The text of the field without blanks around it; a whole number in digits.
    public let label: String
    /// The line of its first row.
    public let line: Int
    /// How many rows have it.
    public let count: Int
  }

  /// The file that was read.
  public let path: String
  /// Integers by value, or names in alphabetical order.
  public let entries: [Entry]
  /// Whether all labels are integers.
  public let areIntegers: Bool
  /// The line of the first row without a label.
  public let firstUnlabelledLine: Int?
  /// Remarks for the user, such as classes that never occur.
  public private(set) var notes: [String] = []

  /// More classes than any head should have: such a column is something else.
  private static let mostClasses = 100_000

  /// Reads the labels of the whole file, a slice a rank. Collective; all ranks throw the same error.
  public init(_ file: RowFile, column: String, on communicator: any Communicator) throws {
    path = file.path
    let own = try communicator.agree {
      try LabelScan.count(file, column, slice(0..<file.count, part: communicator.rank, of: communicator.size))
    }
    var together = Tally()
    for text in try communicator.allGather(text: own.json.text()) { together.add(Tally(try JSON(parsing: text))) }
    firstUnlabelledLine = together.unlabelled
    areIntegers = together.labels.keys.allSatisfy { Int($0) != nil }
    let sorted =
      areIntegers
      ? together.labels.sorted { (Int($0.key) ?? 0, $0.key) < (Int($1.key) ?? 0, $1.key) }
      : together.labels.sorted { $0.key < $1.key }
    entries = sorted.map { Entry(label: $0.key, line: $0.value.line, count: $0.value.count) }
    if areIntegers, let last = entries.last.flatMap({ Int($0.label) }), last < LabelScan.mostClasses {
      let present = Set(entries.compactMap { Int($0.label) })
      let unused = (0..<max(0, last)).filter { !present.contains($0) }
      if !unused.isEmpty {
        let shown = unused.prefix(10).map(String.init).joined(separator: ", ")
        notes.append("\(path): no row has the label \(shown)\(unused.count > 10 ? ", …" : "") of 0 to \(last)")
      }
    }
  }

  /// The set that the labels make: 0 ... the largest integer, or the names in alphabetical order.
  ///
  /// Throws `.input` for negative or absurdly many classes, and where no row has a label.
  public func labelSet() throws -> LabelSet {
    guard let first = entries.first, let last = entries.last else {
      throw RetortError(.input, "no row has a label", at: path, remedy: "name the column under task: {label: …}")
    }
    guard areIntegers else {
      try refuse(entries.count > LabelScan.mostClasses, first, "is one of \(entries.count) different ones")
      return LabelSet(names: entries.map(\.label))
    }
    let (low, high) = (Int(first.label) ?? 0, Int(last.label) ?? 0)
    try refuse(low < 0, first, "is negative")
    try refuse(high >= LabelScan.mostClasses, last, "would make as many classes")
    return LabelSet(count: high + 1)
  }

  /// Throws `.input` with the line for the first label that is outside a set.
  public func check(against set: LabelSet) throws {
    let outside = entries.filter { set.index(of: $0.label) == nil }
    guard let first = outside.min(by: { $0.line < $1.line }) else { return }
    _ = try set.index(of: .text(first.label), required: true, at: "\(path):\(first.line)")
  }

  private func refuse(_ condition: Bool, _ entry: Entry, _ why: String) throws {
    if condition {
      throw RetortError(
        .input, "the label \"\(entry.label)\" \(why)", at: "\(path):\(entry.line)",
        remedy: "check that the label column is the right one, or name the classes: task: {labels: […]}")
    }
  }

  private static func count(_ file: RowFile, _ column: String, _ rows: Range<Int>) throws -> Tally {
    let selection = try file.select([column])
    var tally = Tally()
    for row in rows {
      let field = try file.read(row, selection)[0]
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
    for (label, entry) in other.labels { add(label, line: entry.line, count: entry.count) }
  }

  var json: JSON {
    .object([
      "unlabelled": unlabelled.map { .int($0) } ?? .null,
      "labels": .object(labels.mapValues { .array([.int($0.line), .int($0.count)]) }),
    ])
  }

  init(_ json: JSON) {
    unlabelled = json["unlabelled"]?.int
    labels = (json["labels"]?.object ?? [:]).mapValues {
      ($0.array?.first?.int ?? 0, $0.array?.last?.int ?? 0)
    }
  }
}
