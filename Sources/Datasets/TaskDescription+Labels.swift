import Collectives
import Platform

// How the labels of a task's files are found and read.
extension TaskDescription {
  /// Names under which a label usually stands.
  static let usualLabels = ["label", "labels"]

  /// The column of the label by its usual names; rows of JSON Lines name their own fields.
  static func usualLabel(in file: RowFile) -> String? {
    usualLabels.first(where: file.has) ?? (file.format == .jsonl ? usualLabels[0] : nil)
  }

  /// The label's column as far as labels are read: the one that is known, else the one under a usual name.
  func label(_ found: DatasetColumns, in file: RowFile) -> String? {
    switch labelUse {
    case .unread: return nil
    case .expected: return found.label ?? TaskDescription.usualLabel(in: file)
    case .ifPresent:
      let name = found.label ?? TaskDescription.usualLabel(in: file)
      return name.flatMap { file.format == .jsonl || file.columns.contains($0) ? $0 : nil }
    }
  }

  /// The columns that are read of a file: as `columns(in:)`; throws `.input` for a table without the column of labels
  /// that it should have, too.
  func inputs(in file: RowFile) throws -> DatasetColumns {
    let columns = try self.columns(in: file)
    if kind != .languageModeling, labelUse == .expected, file.format != .jsonl {
      guard let name = columns.label else { throw file.missingLabel() }
      if !file.columns.contains(name) { throw file.missingLabel(name) }
    }
    return columns
  }

  /// All distinct labels of a file, none where the task reads none; see `LabelScan`.
  ///
  /// Collective; all ranks throw the same error, among them `.input` for a table without the column of labels that it
  /// should have.
  public func labels(in file: RowFile, on communicator: any Communicator) throws -> LabelScan {
    let columns = try communicator.agree { try inputs(in: file) }
    guard let column = columns.label else { return LabelScan(unlabelled: file) }
    let besides = columns.inputs + (columns.features ?? []) + ["features"]
    return try LabelScan(file, column: column, besides: besides, on: communicator)
  }

  /// The classes of a file with the reading of its labels, as they are or as the file's own labels decide; nil where no
  /// label is read and no class known. Collective.
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

  /// The task by which the validation files of a training without labels are read: labels that are there choose the
  /// best student.
  public var ofValidation: TaskDescription {
    var copy = self
    if labelUse == .unread { copy.labelUse = .ifPresent }
    return copy
  }
}
