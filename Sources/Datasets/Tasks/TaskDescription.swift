import Platform

/// The purpose of a data set: the kind of task, its columns and its classes, as far as they are known before a file is
/// opened.
package struct TaskDescription: Sendable, Equatable {
  /// The name given by the user; nil for a task described by its parts.
  package var name: String?
  /// The kind of the examples.
  package var kind: TaskKind
  /// The columns named by the user; a nil column is found in the file.
  package var columns: DatasetColumns
  /// The classes in the order of the model's outputs.
  package var labelNames: [String]?
  /// Whether the files must have labels, and whether they are read.
  package var labelUse = LabelUse.expected
  /// The reading of labels named by the user.
  package var labelReading: LabelReading?
  /// The reading of labels at training, which decides if they can be both names and indices.
  package var usualReading: LabelReading?
  /// The columns of CSV and TSV files without a header, in order.
  package var headers: [String]?
  /// The columns of such files if their first row contains none of these names and is therefore not a header.
  package var usualHeaders: [String]?
  /// How plain text is cut into documents, for language modelling.
  package var documents = DocumentCut.automatic
  /// The tokens of a word that are rows of the loss, for tags of words.
  package var subwords = SubwordUse.first
  /// The tokens that two windows of a text longer than the maximum length share; nil: such a text is cut.
  package var stride: WindowStride?
  /// The probability from which a label of several holds; nil: 0.5.
  package var threshold: Double?
  /// How messages name settings.
  package var settings = SettingNames.chainFile

  /// A task described by its parts.
  package init(kind: TaskKind, columns: DatasetColumns = DatasetColumns(), labelNames: [String]? = nil) {
    self.kind = kind
    self.columns = columns
    self.labelNames = labelNames
    if kind.definition.targetsAreOptional { labelUse = .ifPresent }
  }

  /// A well-known task or a kind of task, by its name.
  ///
  /// - Parameter kind: the kind, also of an unknown name; nil: that of the known task, and unknown names are refused.
  /// Throws `.configuration` for tasks that Retort cannot train, and for unknown names.
  package init(named name: String, kind: TaskKind? = nil) throws {
    if let kind = TaskKind(rawValue: name) {
      self.init(kind: kind)
      return
    }
    let known = WellKnownTask.all[WellKnownTask.key(name)]
    if known == nil, kind == nil { throw TaskDescription.unknown(name) }
    self.init(kind: kind ?? known?.kind ?? .classification)
    self.name = name
    if definition.hasLabels { labelNames = known?.labelNames }
  }

  /// What the task's kind means.
  package var definition: TaskDefinition { kind.definition }

  /// The names of the well-known tasks and of the kinds of tasks.
  package static var knownNames: [String] { WellKnownTask.names + TaskKind.allCases.map(\.rawValue) }

  private static func unknown(_ name: String) -> RetortError {
    let near = nearestName(to: name, among: knownNames).map { "did you mean \(quoted($0))? Known" } ?? "known"
    return RetortError(
      .configuration, "there is no known task \(quoted(name))", at: "metadata.task",
      remedy: "\(near): \(knownNames.joined(separator: ", ")); "
        + "a task of your own is a mapping: {name: …, kind: classification, text: …, label: …}")
  }

  private var known: WellKnownTask? { name.flatMap { WellKnownTask.all[WellKnownTask.key($0)] } }

  /// Opens the files of a split; throws `.configuration` if column names or a document cut do not apply to its format.
  package func open(_ split: DatasetSplit) throws -> RowFile {
    let header =
      headers.map(RowHeader.named)
      ?? (usualHeaders ?? known?.headerless).map { RowHeader.maybe($0, moreFollow: known?.hasMoreFields ?? false) }
      ?? .inFile
    let file = try RowFile(
      split, format: format(of: split), headers: header,
      documents: definition.targets == .nextTokens ? documents : nil, settings: settings)
    if file.format == .conll, definition.rows != .tokens {
      throw RetortError(
        .configuration, "is a file of words with tags, and the task is \(kind.rawValue)", at: file.path,
        remedy: settings == .chainFile ? "task: {kind: token_classification}" : "give rows of the model's own task")
    }
    if headers != nil, file.format != .csv, file.format != .tsv {
      throw RetortError(
        .configuration, "the names of columns are for CSV and TSV files without a header, not for this one",
        at: file.path, remedy: "leave them out; the rows name their fields themselves")
    }
    if documents != .automatic, file.documents == nil {
      throw RetortError(
        .configuration, "documents says how plain text is cut, and every row of this file is a document", at: file.path,
        remedy: "take \(settings.documents) out, or give a .txt file")
    }
    return file
  }

  /// The format of a split's files if the task tells it: words with tags, in tables without a header, and in plain text
  /// if tags are read.
  private func format(of split: DatasetSplit) -> FileFormat? {
    guard definition.rows == .tokens, let first = split.paths.first else { return nil }
    switch FileFormat(path: first) {
    case .tsv: return TaggedSentence.isTableOfRows(first) ? nil : .conll
    case .text: return labelUse != .unread || TaggedSentence.areInLines(of: first) ? .conll : nil
    default: return nil
    }
  }

  /// The columns of this task in a file: the named columns, else a known layout of the task's files, else `text` or
  /// `sentence`, else `ids`; and the label column if the file has it. If only the second text of a pair is named, the
  /// first is the column with a usual name.
  ///
  /// Throws `.input` with the columns found if the file lacks a named column or has none of these.
  package func columns(in file: RowFile) throws -> DatasetColumns {
    if file.columns.isEmpty { try file.requireRows() }
    var found = columns
    if !definition.readsTokens {
      found.label = label(found, in: file)
      return found
    }
    if let pair = columns.textPair, columns.text == nil, columns.ids == nil {
      found.text = try firstText(of: pair, in: file)
    } else if let text = columns.text, columns.textPair == nil {
      // A pair task reads pairs even if only the first text is named.
      let layout = known?.layouts.first { $0.text == text && $0.textPair != nil && $0.isIn(file.columns) }
      found.textPair = layout?.textPair
      found.label = found.label ?? layout?.label.flatMap { file.has($0) ? $0 : nil }
    } else if found.text == nil && found.ids == nil && found.tokens == nil {
      let there = layouts.filter { $0.isIn(file.columns) }
      // Files of one task exist with the same text columns and different label columns.
      let labelled = there.first { $0.label.map(file.has) ?? false }
      guard let layout = labelled ?? there.first else { throw noText(file) }
      found.text = layout.text
      found.textPair = layout.textPair
      (found.ids, found.tokens) = (layout.ids, layout.tokens)
      if found.label == nil, let label = layout.label, file.has(label) { found.label = label }
    }
    try requireInputs(columns.inputs, in: file)
    if definition.targets == .nextTokens {
      found.label = nil
      // Some rows of JSON Lines may have a prompt and others not.
      let hasPrompt = file.format == .jsonl || file.columns.contains("prompt")
      found.prompt = found.prompt ?? (hasPrompt ? "prompt" : nil)
    } else {
      found.label = label(found, in: file)
    }
    return found
  }

  /// Throws `.input` if a file with rows lacks one of the columns.
  private func requireInputs(_ names: [String], in file: RowFile) throws {
    guard file.count > 0 else { return }
    for name in names where !file.has(name) { throw file.missingColumn(name) }
  }

  /// The first text of a pair if only the second is named.
  private func firstText(of pair: TextColumns, in file: RowFile) throws -> TextColumns {
    try requireInputs(pair.names, in: file)
    if let layout = known?.layouts.first(where: { $0.textPair == pair }), layout.isIn(file.columns),
      let text = layout.text
    {
      return text
    }
    let partner = WellKnownTask.usualPairs.first { TextColumns($0.1) == pair && file.columns.contains($0.0) }?.0
    let usual = WellKnownTask.usualTexts.first { file.columns.contains($0) && !pair.names.contains($0) }
    if let text = partner ?? usual { return TextColumns(text) }
    throw RetortError(
      .input,
      "\(quoted(pair.text)) is the second text of a pair, and none of the columns has a usual name of the first "
        + "(\(WellKnownTask.usualTexts.joined(separator: ", "))); found: \(quoted(list: file.columns))", at: file.path,
      remedy: settings == .chainFile ? "name the first under task: {text: …}" : "name the first with --text")
  }

  /// The usual name of a second text that the file has and `columns` does not read; nil if there is none.
  package static func unreadPartner(of columns: DatasetColumns, in file: RowFile) -> String? {
    guard let text = columns.text, columns.textPair == nil else { return nil }
    if let pair = WellKnownTask.usualPairs.first(where: { TextColumns($0.0) == text && file.columns.contains($0.1) }) {
      return pair.1
    }
    let usual = Set(WellKnownTask.usualPairs.flatMap { [$0.0, $0.1] }).union(WellKnownTask.usualPartners)
      .map { $0.lowercased() }
    return file.columns.first {
      usual.contains($0.lowercased()) && !text.names.contains($0) && $0 != columns.label && $0 != columns.prompt
    }
  }

  /// The reading for labels that can be read in two ways: that of the training, or the one known for this task's files
  /// without a header.
  func usualReading(in file: RowFile) -> LabelReading? {
    usualReading ?? (file.hasHeader ? nil : known?.headerlessReading)
  }

  private var layouts: [DatasetColumns] {
    var layouts = known?.layouts ?? []
    // A pair task whose second text is missing must not be read as single texts, unless each text stands alone.
    if layouts.allSatisfy({ $0.textPair == nil }) || definition.rows == .sequences {
      layouts += [DatasetColumns(text: "text"), DatasetColumns(text: "sentence")]
    }
    if definition.rows == .tokens { layouts.insert(DatasetColumns(tokens: "tokens"), at: 0) }
    if definition.rows == .sequences {
      let pairs = WellKnownTask.usualPairs
      layouts = pairs.map { DatasetColumns(text: TextColumns($0.0), textPair: TextColumns($0.1)) } + layouts
    }
    return layouts + [DatasetColumns(ids: "ids")]
  }

  private func noText(_ file: RowFile) -> RetortError {
    var wanted: [String] = []
    for name in layouts.map({ quoted(list: $0.inputs) }) where !wanted.contains(name) { wanted.append(name) }
    return RetortError(
      .input,
      "none of the columns \(wanted.joined(separator: " or ")) is there; found: \(quoted(list: file.columns))",
      at: file.path, remedy: (pairRemedy(file) ?? settings.columns) + file.headerRemedy)
  }

  /// The remedy that names both texts of a usual pair which the file has; nil if it has none. Only an embedding reads a
  /// pair unasked: elsewhere the second text changes what the first means, so the user says that both count.
  private func pairRemedy(_ file: RowFile) -> String? {
    guard definition.head == .sequence,
      let pair = WellKnownTask.usualPairs.first(where: { file.columns.contains($0.0) && file.columns.contains($0.1) })
    else { return nil }
    return settings == .chainFile
      ? "name both texts: task: {kind: \(kind.rawValue), text: \(pair.0), text_pair: \(pair.1)}"
      : "name both texts: --text \(quoted(pair.0)) --text-pair \(quoted(pair.1))"
  }
}

/// The tokens that two windows of a text share, and where the number is set.
package struct WindowStride: Sendable, Equatable {
  /// The number, from 0, as `stride` of tokenizers.
  package let tokens: Int
  /// The key or option in a message.
  package let location: String

  /// A number from a place.
  package init(_ tokens: Int, at location: String) { (self.tokens, self.location) = (tokens, location) }
}

/// The tokens of a word whose class is learnt and predicted.
package enum SubwordUse: String, Sendable, CaseIterable {
  /// The first token of each word.
  case first
  /// Every token of each word.
  case all
}

extension DatasetColumns {
  func isIn(_ names: [String]) -> Bool { inputs.allSatisfy(names.contains) }
}
