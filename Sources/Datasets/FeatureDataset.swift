import Collectives
import Platform

/// Rows of numbers with their classes, in memory on every rank.
package final class FeatureDataset: ExampleSource {
  /// Always `features`.
  package let kind = TaskKind.features
  /// The classes; nil if labels are not read.
  package let labels: LabelSet?
  /// SHA-256 of the file's content, the column names, the classes and the reading of labels, in hexadecimal.
  package let digest: String
  /// Remarks for the user, such as how labels are read.
  package let notes: [String]
  /// The column names, [F]; `features[i]` if rows are lists.
  package let columnNames: [String]
  /// The numbers, row by row, [N, F].
  package let values: [Float]
  /// The mean of each column, [F].
  package let means: [Float]
  /// The standard deviation of each column over all N rows, [F]; 0 for a constant column.
  package let standardDeviations: [Float]
  private let classes: [Int32]
  /// The number of rows with a class.
  package let labelledCount: Int

  /// F, the number of columns.
  package var featureCount: Int { columnNames.count }
  package var count: Int { classes.count }
  /// 1 for each row, [N].
  package let lengths: [Int32]
  package func length(_ index: Int) -> Int { 1 }
  package func label(_ index: Int) -> Int32 { classes[index] }

  /// The numbers of a row, [F].
  package func features(_ index: Int) -> ArraySlice<Float> {
    values[(index * featureCount)..<((index + 1) * featureCount)]
  }

  /// A 64-bit hash of a row's numbers, equal in every run and on every machine.
  package func contentHash(_ index: Int) -> UInt64 {
    values.withUnsafeBufferPointer {
      ContentHash.of(
        features: UnsafeBufferPointer(rebasing: $0[(index * featureCount)..<((index + 1) * featureCount)]))
    }
  }

  package func batch(_ samples: [Int]) -> Batch {
    var batch = Batch()
    batch.featureCount = featureCount
    batch.features.reserveCapacity(samples.count * featureCount)
    batch.offsets = [Int32](repeating: 0, count: samples.count + 1)
    for sample in samples {
      batch.features += features(sample)
      batch.labels.append(classes[sample])
      batch.samples.append(sample)
      batch.contentHashes.append(contentHash(sample))
    }
    return batch
  }

  private init(_ table: FeatureTable, labels: LabelSet?, digest: String, notes: [String]) {
    columnNames = table.names
    values = table.values
    classes = table.classes
    labelledCount = table.classes.count { $0 >= 0 }
    lengths = [Int32](repeating: 1, count: table.classes.count)
    (means, standardDeviations) = FeatureDataset.statistics(table.values, table.names.count)
    self.labels = labels
    self.digest = digest
    self.notes = notes
  }

  /// Opens the files of a split in order: numeric columns, or JSON Lines with `{"features": […]}`.
  ///
  /// Collective: all ranks call it with the same arguments and throw the same error: `.input` with file and line for a
  /// field that is not a finite number or a label outside the set; `.preflight` if ranks see different files.
  ///
  /// - Parameters:
  ///   - task: its `columns.features` are read in their order; nil: all columns but the label.
  ///   - labels: the classes; nil: found in the file if labels are read. A row without a label gets -1.
  package static func open(
    _ split: DatasetSplit, task: TaskDescription, labels: LabelSet? = nil, on communicator: any Communicator
  ) throws -> FeatureDataset {
    let (file, columns) = try communicator.agree {
      let file = try task.open(split)
      try file.requireRows()
      return (file, try task.inputs(in: file))
    }
    let path = file.path
    let (labels, notes) = try task.deciding(labels, in: file, on: communicator)
    try communicator.agree { try labels?.requireDistinctNames() }
    let content = file.contentDigest()
    try communicator.requireEqual(content, label: "the content of \(path)")
    let table = try communicator.agree { try FeatureTable(file, columns, labels) }
    let digest = Digest()
    digest.update("retort features")
    digest.update(content)
    table.names.forEach(digest.update(_:))
    digest.update(columns.label ?? "")
    digest.update(UInt64(labels?.count ?? 0))
    for name in labels?.names ?? [] { digest.update(name) }
    digest.update(labels?.reading?.rawValue ?? "undecided")
    return FeatureDataset(table, labels: labels, digest: digest.finish(), notes: notes)
  }

  /// The mean and standard deviation of each column by Welford's update, which avoids cancellation.
  private static func statistics(_ values: [Float], _ columns: Int) -> ([Float], [Float]) {
    var mean = [Double](repeating: 0, count: columns)
    var squares = [Double](repeating: 0, count: columns)
    let rows = values.count / max(1, columns)
    for row in 0..<rows {
      for column in 0..<columns {
        let value = Double(values[row * columns + column])
        let difference = value - mean[column]
        mean[column] += difference / Double(row + 1)
        squares[column] += difference * (value - mean[column])
      }
    }
    return (mean.map { Float($0) }, squares.map { Float(($0 / Double(max(1, rows))).squareRoot()) })
  }
}

/// The values and classes parsed from the rows of a file.
private struct FeatureTable {
  var names: [String]
  var values: [Float] = []
  var classes: [Int32] = []

  init(_ file: RowFile, _ columns: DatasetColumns, _ labels: LabelSet?) throws {
    let label = columns.label
    // A label column is not an input, even if labels are not read.
    let other = label ?? TaskDescription(kind: .features).usualLabel(in: file)
    let isList = columns.features == nil && file.format == .jsonl && file.columns.contains("features")
    names = isList ? ["features"] : columns.features ?? file.columns.filter { $0 != other }
    if names.isEmpty {
      throw RetortError(.input, "there is no column besides the label", at: file.path, remedy: "give numeric columns")
    }
    let selection = try file.select(names + (labels == nil ? [] : [label].compactMap { $0 }))
    let inputs = names
    for row in 0..<file.count {
      let fields = try file.read(row, selection)
      if isList {
        try appendList(fields[0], file, row)
      } else {
        for (place, name) in inputs.enumerated() { values.append(try number(fields[place], name, file, row)) }
      }
      let hasLabel = fields.count > inputs.count
      let field = hasLabel ? fields[inputs.count] : .absent
      classes.append(
        try labels?.index(of: field, at: file.location(of: row)) ?? -1)
    }
  }

  private mutating func appendList(_ field: FieldValue, _ file: RowFile, _ row: Int) throws {
    guard case .list(let numbers) = field, !numbers.isEmpty else {
      let what = field == .list([]) ? "an empty list" : field.kind
      throw RetortError(
        .input, "\"features\" is \(what), a list of numbers was expected", at: file.location(of: row),
        remedy: "write {\"features\": [0.5, …], \"label\": …}")
    }
    if row == 0 { names = numbers.indices.map { "features[\($0)]" } }
    if numbers.count != names.count {
      throw RetortError(
        .input, "\"features\" has \(numbers.count) numbers where the first row has \(names.count)",
        at: file.location(of: row), remedy: "give every row the same columns")
    }
    for (place, number) in numbers.enumerated() {
      values.append(try finite(number, "features[\(place)]", file, row))
    }
  }

  private func number(_ field: FieldValue, _ column: String, _ file: RowFile, _ row: Int) throws -> Float {
    switch field {
    case .integer(let value): return try finite(Double(value), column, file, row)
    case .real(let value): return try finite(value, column, file, row)
    case .flag(let value): return value ? 1 : 0
    case .text(let text):
      if let value = Double(text.trimmed) { return try finite(value, column, file, row) }
      throw refusal("\(quoted(text)) is no number", column, file, row)
    case .absent: throw refusal("the field is missing", column, file, row)
    case .list, .words, .objects, .other: throw refusal("\(field.kind) is no number", column, file, row)
    }
  }

  private func finite(_ value: Double, _ column: String, _ file: RowFile, _ row: Int) throws -> Float {
    let number = Float(value)
    if !number.isFinite { throw refusal("\(value) is no finite 32-bit number", column, file, row) }
    return number
  }

  private func refusal(_ what: String, _ column: String, _ file: RowFile, _ row: Int) -> RetortError {
    RetortError(
      .input, what, at: "\(file.location(of: row)), column \(quoted(column))",
      remedy: "correct the row, or \(file.settings.features)")
  }
}
