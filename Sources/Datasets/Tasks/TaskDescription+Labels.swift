import Collectives
import Platform

// How the labels of a task's files are found and read.
extension TaskDescription {
  /// The column with the targets if it has a usual name; for JSON Lines, whose rows name their own fields, the first
  /// usual name if there is none.
  func usualLabel(in file: RowFile) -> String? {
    let usual = definition.usualLabels
    return usual.first(where: file.has) ?? (file.format == .jsonl ? usual.first : nil)
  }

  /// The label column, if labels are read: the known column, else one with a usual name.
  func label(_ found: DatasetColumns, in file: RowFile) -> String? {
    switch labelUse {
    case .unread: return nil
    case .expected: return found.label ?? usualLabel(in: file)
    case .ifPresent:
      let name = found.label ?? usualLabel(in: file)
      return name.flatMap { file.format == .jsonl || file.columns.contains($0) ? $0 : nil }
    }
  }

  /// The columns to read from a file, as in `columns(in:)`; also throws `.input` for a table without the label column
  /// that it must have.
  func inputs(in file: RowFile) throws -> DatasetColumns {
    let columns = try self.columns(in: file)
    if definition.targets != .nextTokens, labelUse == .expected, file.format != .jsonl {
      guard let name = columns.label else { throw file.missingLabel(definition.usualLabels.first ?? "label") }
      if !file.columns.contains(name) { throw file.missingLabel(name) }
    }
    return columns
  }

  /// All distinct labels of a file, or none if the task reads no labels; see `LabelScan`.
  ///
  /// Collective; all ranks throw the same error, for example `.input` for a table without the label column that it must
  /// have.
  package func labels(in file: RowFile, on communicator: any Communicator) throws -> LabelScan {
    let columns = try communicator.agree { try inputs(in: file) }
    guard let column = columns.label else { return LabelScan(unlabelled: file) }
    let besides = columns.inputs + (columns.features ?? []) + ["features"]
    return try LabelScan(file, column: column, of: definition, besides: besides, on: communicator)
  }

  /// Throws `.input` for rows of JSON Lines without a score that have a field whose name looks like the score's;
  /// nothing else checks that, since scores are no classes that a scan collects. Collective.
  func refuseSlips(in file: RowFile, _ columns: DatasetColumns, on communicator: any Communicator) throws {
    let hasScores =
      definition.targets == .score || definition.targets == .similarity && columns.textPair != nil
    guard hasScores, columns.label != nil, file.format == .jsonl else { return }
    _ = try labels(in: file, on: communicator)
  }

  /// The classes with the reading of the file's labels: unchanged if the reading is known, otherwise decided by the
  /// labels; nil if no labels are read and no classes are known. Collective.
  func deciding(_ labels: LabelSet?, in file: RowFile, on communicator: any Communicator) throws -> (
    set: LabelSet?, notes: [String]
  ) {
    if labelUse == .unread || labels?.reading != nil { return (labels, []) }
    let scan = try self.labels(in: file, on: communicator)
    return try communicator.agree {
      if let labels {
        return try labels.deciding([scan], told: labelReading, usual: usualReading(in: file))
      }
      if scan.entries.isEmpty, labelUse == .ifPresent { return (nil, []) }
      return try scan.labelSet(told: labelReading)
    }
  }

  /// The task for reading validation files: if training uses no labels, labels in the validation files are still read
  /// to choose the best student.
  package var ofValidation: TaskDescription {
    var copy = self
    if labelUse == .unread { copy.labelUse = .ifPresent }
    return copy
  }
}
