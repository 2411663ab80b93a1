import Platform

/// The names of the columns that make an example; nil where the data has none.
public struct DatasetColumns: Sendable, Equatable {
  /// The text, or the first of a pair.
  public var text: String?
  /// The second text of a pair.
  public var textPair: String?
  /// The class, by name or by number.
  public var label: String?
  /// Numeric columns, in the order of the model's inputs.
  public var features: [String]?
  /// Token ids with special ones included, in place of text.
  public var ids: String?
  /// What stands before the text of a document and is read, but not predicted; of the same kind as the text, which is
  /// ids where the data has ids.
  public var prompt: String?

  /// The named columns; those left out are found out from the file, see `TaskDescription.columns(in:)`.
  public init(
    text: String? = nil, textPair: String? = nil, label: String? = nil, features: [String]? = nil, ids: String? = nil,
    prompt: String? = nil
  ) {
    self.text = text
    self.textPair = textPair
    self.label = label
    self.features = features
    self.ids = ids
    self.prompt = prompt
  }
}

/// What a data set is for: the kind of task, its columns and its classes, as far as they are known before a file is
/// opened.
public struct TaskDescription: Sendable, Equatable {
  /// The name that the user gave, or nil for a task described by its parts.
  public var name: String?
  /// What the examples are made of.
  public var kind: TaskKind
  /// Columns that the user named; what is nil is found out from the file.
  public var columns: DatasetColumns
  /// The classes in the order of the model's outputs.
  public var labelNames: [String]?
  /// How plain text is cut into documents; for language modelling.
  public var documents = DocumentCut.automatic

  /// A task described by its parts.
  public init(kind: TaskKind, columns: DatasetColumns = DatasetColumns(), labelNames: [String]? = nil) {
    self.kind = kind
    self.columns = columns
    self.labelNames = labelNames
  }

  /// A task by its name: a well-known one, or any other, which is a classification of the column text or sentence.
  ///
  /// Throws `.configuration` for tasks that Retort cannot train.
  public init(named name: String) throws {
    self.init(kind: .classification)
    self.name = name
    let key = WellKnownTask.key(name)
    if key == "stsb" {
      throw RetortError(
        .configuration, "the task \"\(name)\" predicts a number, which Retort does not train", at: "metadata.task",
        remedy: "choose a task with classes: \(WellKnownTask.all.keys.sorted().joined(separator: ", "))")
    }
    labelNames = WellKnownTask.all[key]?.labelNames
  }

  /// Opens a data file as this task's files are written.
  public func open(_ path: String) throws -> RowFile {
    let known = name.flatMap { WellKnownTask.all[WellKnownTask.key($0)] }
    let file = try RowFile(
      path, headerless: known?.headerless, documents: kind == .languageModeling ? documents : nil)
    if documents != .automatic, file.documents == nil {
      throw RetortError(
        .configuration, "documents says how plain text is cut, and every row of this file is a document", at: path,
        remedy: "take task.documents out, or give a .txt file")
    }
    return file
  }

  /// The columns of this task in a file: those that were named, then those that the task's files are known to have,
  /// then `text` or `sentence`, then `ids`; and `label` where the file has it.
  ///
  /// Throws `.input` with the columns found where none of them are there.
  public func columns(in file: RowFile) throws -> DatasetColumns {
    var found = columns
    if kind == .features {
      found.label = found.label ?? label(in: file)
      return found
    }
    if found.text == nil && found.ids == nil {
      let there = layouts.filter { $0.isIn(file.columns) }
      // Files of one task circulate with the same texts under two names of the label.
      let labelled = there.first { $0.label.map(file.columns.contains) ?? false }
      guard let layout = labelled ?? there.first else { throw noText(file) }
      found.text = layout.text
      found.textPair = layout.textPair
      found.ids = layout.ids
      if found.label == nil, let label = layout.label, file.columns.contains(label) { found.label = label }
    }
    if kind == .languageModeling {
      found.label = nil
      // Of JSON Lines some rows may have one and others not.
      let hasPrompt = file.format == .jsonl || file.columns.contains("prompt")
      found.prompt = found.prompt ?? (hasPrompt ? "prompt" : nil)
    } else {
      found.label = found.label ?? label(in: file)
    }
    return found
  }

  /// The label's column where nobody named it. The first row of JSON Lines may lack what others have, so there the
  /// rows tell by themselves.
  private func label(in file: RowFile) -> String? {
    ["label", "labels"].first(where: file.columns.contains) ?? (file.format == .jsonl ? "label" : nil)
  }

  private var layouts: [DatasetColumns] {
    let known = name.flatMap { WellKnownTask.all[WellKnownTask.key($0)] }
    var layouts = known?.layouts ?? []
    // A pair task whose second text is missing must not be read as single sentences.
    if layouts.allSatisfy({ $0.textPair == nil }) {
      layouts += [DatasetColumns(text: "text"), DatasetColumns(text: "sentence")]
    }
    return layouts + [DatasetColumns(ids: "ids")]
  }

  private func noText(_ file: RowFile) -> RetortError {
    let wanted = layouts.map { layout in
      RowFile.quoted([layout.text, layout.textPair, layout.ids].compactMap { $0 })
    }
    return RetortError(
      .input,
      "none of the columns \(wanted.joined(separator: " or ")) is there; found: \(RowFile.quoted(file.columns))",
      at: file.path, remedy: "name them under task: {kind: \(kind.rawValue), text: …, label: …}")
  }
}

extension DatasetColumns {
  fileprivate func isIn(_ names: [String]) -> Bool {
    [text, textPair, ids].allSatisfy { $0.map(names.contains) ?? true }
  }
}
