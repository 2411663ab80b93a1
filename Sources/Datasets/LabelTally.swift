import Platform

/// Labels counted over some rows.
struct LabelTally {
  private(set) var labels: [String: (line: Int, count: Int)] = [:]
  /// The line of the first row without a label, and how many there are.
  private(set) var unlabelled: Int?
  private(set) var unlabelledCount = 0
  /// Whether a label is a number or a truth value of JSON.
  private(set) var hasValues = false
  /// The names of the fields of rows with a label.
  private var labelledNames: Set<String> = []
  /// The names of the fields of rows that have none for the label, with the line of the first.
  private var otherNames: [String: Int] = [:]
  /// The fields of the row before: most rows have the same ones.
  private var (lastLabelled, lastOther): ([String], [String]) = ([], [])
  /// More names are not kept: such rows have no columns.
  private static let mostNames = 1000

  init() {}

  /// Counts a row, `field` of which holds its label.
  mutating func add(_ label: String?, _ field: FieldValue, line: Int) {
    switch field {
    case .integer, .real, .flag: hasValues = true
    default: break
    }
    guard let label else { return addUnlabelled(1, line: line) }
    add(label, line: line, count: 1)
  }

  /// Notes the names of a row's fields, `column` being that of the label.
  mutating func note(_ names: [String], isLabelled: Bool, line: Int, _ column: String) {
    if isLabelled {
      if names == lastLabelled || labelledNames.count > LabelTally.mostNames { return }
      lastLabelled = names
      labelledNames.formUnion(names)
    } else if names != lastOther, otherNames.count <= LabelTally.mostNames, !names.contains(column) {
      lastOther = names
      for name in names where otherNames[name] == nil { otherNames[name] = line }
    }
  }

  mutating func add(_ other: LabelTally) {
    if let line = other.unlabelled { addUnlabelled(other.unlabelledCount, line: line) }
    hasValues = hasValues || other.hasValues
    for (label, entry) in other.labels { add(label, line: entry.line, count: entry.count) }
    labelledNames.formUnion(other.labelledNames)
    otherNames.merge(other.otherNames, uniquingKeysWith: min)
  }

  /// The fields that rows without a label have and rows with one do not, with the line of the first; the columns
  /// `besides` are known.
  func strangers(besides: [String]) -> [String: Int] {
    otherNames.filter { !labelledNames.contains($0.key) && !besides.contains($0.key) }
  }

  private mutating func add(_ label: String, line: Int, count: Int) {
    let known = labels[label] ?? (line, 0)
    labels[label] = (min(known.line, line), known.count + count)
  }

  private mutating func addUnlabelled(_ count: Int, line: Int) {
    unlabelled = min(unlabelled ?? line, line)
    unlabelledCount += count
  }

  /// What one rank tells the others.
  var json: JSON {
    .object([
      "unlabelled": unlabelled.map { .int($0) } ?? .null, "unlabelled_count": .int(unlabelledCount),
      "values": .bool(hasValues),
      "labels": .object(labels.mapValues { .array([.int($0.line), .int($0.count)]) }),
      "labelled_names": .array(labelledNames.sorted().map(JSON.string)),
      "other_names": .object(otherNames.mapValues(JSON.int)),
    ])
  }

  init(_ json: JSON) {
    unlabelled = json["unlabelled"]?.int
    unlabelledCount = json["unlabelled_count"]?.int ?? 0
    hasValues = json["values"]?.bool ?? false
    labels = (json["labels"]?.object ?? [:]).mapValues {
      ($0.array?.first?.int ?? 0, $0.array?.last?.int ?? 0)
    }
    labelledNames = Set((json["labelled_names"]?.array ?? []).compactMap(\.string))
    otherNames = (json["other_names"]?.object ?? [:]).compactMapValues(\.int)
  }
}
