import Platform

/// The label counts of a set of rows.
struct LabelTally {
  private(set) var labels: [String: (line: Int, count: Int)] = [:]
  /// The line of the first row without a label; `unlabelledCount` is the number of such rows.
  private(set) var unlabelled: Int?
  private(set) var unlabelledCount = 0
  /// Whether a label is a JSON number or truth value.
  private(set) var hasValues = false
  /// Whether labels are those of entities in a text.
  private(set) var hasEntities = false
  /// The field names of rows with a label.
  private var labelledNames: Set<String> = []
  /// The field names of rows without a label field, each with the line of the first such row.
  private var otherNames: [String: Int] = [:]
  /// The field names of the preceding rows: most rows have the same ones.
  private var (lastLabelled, lastOther): ([String], [String]) = ([], [])
  /// Maximum number of field names kept: rows with more have no common columns.
  private static let mostNames = 1000

  init() {}

  /// Counts a row whose labels are in `field`, each with its line; nil for a row without.
  mutating func add(_ labels: [(label: String, line: Int)]?, _ field: FieldValue, line: Int) {
    switch field {
    case .integer, .real, .flag, .list: hasValues = true
    case .objects: hasEntities = true
    default: break
    }
    guard let labels else { return addUnlabelled(1, line: line) }
    for (label, line) in labels { add(label, line: line, count: 1) }
  }

  /// Records the field names of a row; `column` is the name of the label.
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
    hasEntities = hasEntities || other.hasEntities
    for (label, entry) in other.labels { add(label, line: entry.line, count: entry.count) }
    labelledNames.formUnion(other.labelledNames)
    otherNames.merge(other.otherNames, uniquingKeysWith: min)
  }

  /// Fields that occur only in rows without a label, each with the line of the first such row; leaves out the columns
  /// `besides`.
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

  /// The counts in the form in which ranks exchange them.
  var json: JSON {
    .object([
      "unlabelled": unlabelled.map { .int($0) } ?? .null, "unlabelled_count": .int(unlabelledCount),
      "values": .bool(hasValues), "entities": .bool(hasEntities),
      "labels": .object(labels.mapValues { .array([.int($0.line), .int($0.count)]) }),
      "labelled_names": .array(labelledNames.sorted().map(JSON.string)),
      "other_names": .object(otherNames.mapValues(JSON.int)),
    ])
  }

  init(_ json: JSON) {
    unlabelled = json["unlabelled"]?.int
    unlabelledCount = json["unlabelled_count"]?.int ?? 0
    hasValues = json["values"]?.bool ?? false
    hasEntities = json["entities"]?.bool ?? false
    labels = (json["labels"]?.object ?? [:]).mapValues {
      ($0.array?.first?.int ?? 0, $0.array?.last?.int ?? 0)
    }
    labelledNames = Set((json["labelled_names"]?.array ?? []).compactMap(\.string))
    otherNames = (json["other_names"]?.object ?? [:]).compactMapValues(\.int)
  }
}
