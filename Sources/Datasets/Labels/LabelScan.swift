import Collectives
import Platform

/// All distinct labels of a split, with the line of each label's first row.
package struct LabelScan: Sendable {
  /// One label as written in the file.
  package struct Entry: Sendable, Equatable {
    /// The text of the field without surrounding spaces; a whole number in digits.
    package let label: String
    /// The line of the label's first row, counted over all files of the split.
    package let line: Int
    /// The number of rows with the label.
    package let count: Int
  }

  /// The name of the split in messages.
  package let path: String
  /// The labels: integers by value, or names in alphabetical order.
  package let entries: [Entry]
  /// Whether all labels are integers.
  package let areIntegers: Bool
  /// Whether all labels are JSON strings, which JSON distinguishes from numbers and truth values.
  package let isText: Bool
  /// Whether the labels are those of entities in a text, whose further words have I-T.
  let areEntities: Bool
  /// The number of rows of the split.
  package let rowCount: Int
  /// The number of rows without a label.
  package let unlabelledCount: Int
  /// The line of the first row without a label.
  package let firstUnlabelledLine: Int?
  /// Names of JSON Lines fields that occur only in rows without a label.
  private let strangers: [String]
  private let file: RowFile
  private let task: TaskDefinition

  /// Maximum number of classes: a column with more distinct labels is not a label column.
  private static let mostClasses = 100_000

  /// Reads the labels of all rows; each rank reads a slice. Of a file of scores only their presence counts.
  ///
  /// Collective; all ranks throw the same error: `.input` for a field that is not a label, and for JSON Lines rows
  /// without a label that have a field whose name resembles the label column's.
  ///
  /// - Parameter besides: other columns that are read.
  package init(
    _ file: RowFile, column: String, of task: TaskDefinition = .classification, besides: [String] = [],
    on communicator: any Communicator
  ) throws {
    self.file = file
    self.task = task
    path = file.path
    rowCount = file.count
    let own = try communicator.agree {
      try LabelScan.count(
        file, column, task, slice(0..<file.count, part: communicator.rank, of: communicator.size))
    }
    var together = LabelTally()
    for text in try communicator.allGather(text: own.json.text()) { together.add(LabelTally(try JSON(parsing: text))) }
    unlabelledCount = together.unlabelledCount
    firstUnlabelledLine = together.unlabelled
    isText = file.format == .jsonl && !together.hasValues
    areEntities = together.hasEntities
    areIntegers = together.labels.keys.allSatisfy { LabelSet.number($0) != nil }
    let sorted =
      areIntegers
      ? together.labels.sorted { (LabelSet.number($0.key) ?? 0, $0.key) < (LabelSet.number($1.key) ?? 0, $1.key) }
      : together.labels.sorted { $0.key < $1.key }
    entries = sorted.map { Entry(label: $0.key, line: $0.value.line, count: $0.value.count) }
    let others = together.strangers(besides: besides)
    strangers = others.keys.sorted()
    let refusal = slip(for: column, in: others) ?? strangeTag
    try communicator.agree { if let refusal { throw refusal } }
  }

  /// A scan of a file whose labels are not read.
  init(unlabelled file: RowFile) {
    self.file = file
    task = .classification
    path = file.path
    rowCount = file.count
    unlabelledCount = file.count
    firstUnlabelledLine = file.count > 0 ? file.line(of: 0) : nil
    (entries, areIntegers, isText, areEntities, strangers) = ([], false, false, false, [])
  }

  /// Whether all, some or none of the rows have a label.
  package var labelled: LabelCoverage { LabelCoverage(rowCount - unlabelledCount, of: rowCount) }

  /// The labels that the rows need as classes: those that occur, and of entities also the tag of further words.
  var classNames: [String] {
    let names = entries.map(\.label)
    guard areEntities else { return names }
    return Set(names + names.filter { $0.hasPrefix("B-") }.map { "I" + $0.dropFirst() }).sorted()
  }

  /// Whether the scan counts the rows of a class: of texts with entities it counts the entities, by their first tags,
  /// and not the words that they will have.
  func counts(_ name: String) -> Bool { !areEntities || name.hasPrefix("B-") }

  /// "1,200 of 67,349 rows of data/train.tsv have no label", for messages; if no row has a label, also names the fields
  /// of JSON Lines rows.
  package var unlabelledText: String {
    if unlabelledCount < rowCount {
      return "\(grouped(unlabelledCount)) of \(grouped(rowCount)) rows of \(path) have no label"
    }
    let found = strangers.isEmpty ? "" : " (the rows have \(quoted(list: strangers)))"
    return "none of the \(grouped(rowCount)) rows of \(path) has a label\(found)"
  }

  /// The error for a tag that is no part of an entity if others are, or nil.
  private var strangeTag: RetortError? {
    guard task.rows == .tokens, let tag = TagScheme.stranger(in: entries.map(\.label)),
      let entry = entries.first(where: { $0.label == tag })
    else { return nil }
    return RetortError(
      .input, "the tag \(quoted(tag)) is no part of an entity, and other tags are", at: location(of: entry),
      remedy: TagScheme.remedy(for: tag))
  }

  /// The error if rows without a label have a field whose name resembles `column` and that no labelled row has, or nil.
  private func slip(for column: String, in strangers: [String: Int]) -> RetortError? {
    let names = strangers.keys.sorted().filter { abs($0.count - column.count) <= 2 }
    // A class beside a text says nothing about its vector, unless it stands where other rows have a score.
    let others = task.targets == .similarity && labelled != .none ? ["label", "labels"] : []
    let usual = strangers.keys.sorted().first { (task.usualLabels + others).contains($0.lowercased()) }
    guard let name = nearestName(to: column, among: names) ?? usual, let line = strangers[name] else { return nil }
    return RetortError(
      .input, "the row has no \(quoted(column)), and a field \(quoted(name)) that looks like it",
      at: file.location(ofLine: line),
      remedy: "give every row the same columns, or \(file.settings.label); a row without a label may say "
        + "\(quoted(column)): null")
  }

  /// The reading known to the task for labels of this file with two possible readings; nil: none is known.
  package func usualReading(of task: TaskDescription) -> LabelReading? { task.usualReading(in: file) }

  /// The `path:line` of a label's first row.
  func location(of entry: Entry) -> String { file.location(ofLine: entry.line) }

  /// The set of classes for the labels of a training split, and remarks for the user.
  ///
  /// Numbers give the classes 0 … the largest if 0 occurs in training or validation. Otherwise the classes are named
  /// "1" … the largest if the smallest number is 1, and after the numbers that occur if it is larger. Truth values
  /// give the classes false and true; other labels give names in alphabetical order. Throws `.input` for negative
  /// numbers, too many classes, numbers with a fraction, numbers among names, and if no row has a label.
  ///
  /// - Parameter told: the reading that the user names, which must fit all labels.
  package func labelSet(validation: LabelScan? = nil, told: LabelReading? = nil) throws -> (
    set: LabelSet, notes: [String]
  ) {
    if let told { return try given(told).deciding([self] + [validation].compactMap { $0 }, told: told) }
    guard let first = entries.first, let last = entries.last else {
      throw RetortError(
        .input,
        "no row \(labelled == .none ? "has" : "names") a label, and neither the task nor a model of the chain says "
          + "which classes there are", at: path,
        remedy: "name the classes in order: task: {labels: […]}, or the label's column: task: {label: …}")
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
      let names = classNames
      return (LabelSet(names: task.rows == .tokens ? TagScheme.ordered(names) : names, reading: .name), [])
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

  /// The set of classes for the labels under one reading, which need not fit all labels.
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

  /// The error for a training file whose labels are all equal.
  package func ofOneClass(_ name: String) -> RetortError {
    RetortError(
      .input, "every label is \(quoted(name)): a classifier needs rows of two classes", at: path,
      remedy: "check that the label column is the right one, or \(file.settings.classes)")
  }

  /// Throws `.input` with the line of the first label that is outside a set.
  package func check(against set: LabelSet) throws {
    let outside = entries.filter { set.index(of: $0.label) == nil }
    guard let first = outside.min(by: { $0.line < $1.line }) else { return }
    throw set.refusal(of: first.label, at: location(of: first))
  }

  private static func isNumber(_ label: String) -> Bool { Double(label)?.isFinite ?? false }

  private func refuse(_ condition: Bool, _ entry: Entry, _ why: String) throws {
    if condition {
      throw RetortError(
        .input, "the label \(quoted(entry.label)) \(why)", at: location(of: entry),
        remedy: "check that the label column is the right one, or \(file.settings.classes)")
    }
  }

  private static func count(_ file: RowFile, _ column: String, _ task: TaskDefinition, _ rows: Range<Int>) throws
    -> LabelTally
  {
    let selection = try file.select([column])
    var tally = LabelTally()
    for row in rows {
      let (names, fields) = try file.fields(row, selection)
      let line = file.line(of: row)
      let labels =
        task.hasLabels
        ? try TargetField.labels(fields[0], of: task, file, row)
        : try TargetField.score(fields[0], at: file.location(of: row)).isNaN ? nil : []
      tally.add(labels, fields[0], line: line)
      if file.format == .jsonl { tally.note(names, isLabelled: labels != nil, line: line, column) }
    }
    return tally
  }
}
