import Platform

/// The task that a student was trained on, kept in its config.json so that `evaluate` and `predict` read data as
/// training did.
///
///     "retort_task": {"kind": "classification", "name": "mrpc", "text": "sentence1", "text_pair": "sentence2",
///                     "label": "label", "labels_are": "index", "metric": "accuracy", "max_length": 128}
///
/// The classes are in the configuration's own `id2label`. Other programs ignore the key.
package struct TaskRecord: Sendable, Equatable {
  /// The key in config.json.
  package static let key = "retort_task"

  /// The kind of the examples.
  package var kind: TaskKind
  /// The name of a well-known task.
  package var name: String?
  /// The columns that training read.
  package var columns: DatasetColumns
  /// The reading of labels at training.
  package var reading: LabelReading?
  /// The columns of a file without a header.
  package var headers: [String]?
  /// The metric that chose the best student.
  package var metric: String?
  /// Maximum tokens of an example.
  package var maxLength: Int?
  /// The tokens of a word that are predicted.
  package var subwords = SubwordUse.first
  /// The tokens that two windows of a long text share; nil: it is cut.
  package var stride: Int?
  /// The probability from which a label of several holds.
  package var threshold: Double?

  /// The record of a training run.
  package init(
    _ task: TaskDescription, columns: DatasetColumns, reading: LabelReading?, metric: String?, maxLength: Int?
  ) {
    kind = task.kind
    name = task.name
    headers = task.headers
    self.columns = columns
    self.reading = reading
    self.metric = metric
    self.maxLength = maxLength
    subwords = task.subwords
    (stride, threshold) = (task.stride?.tokens, task.threshold)
  }

  /// Parses the object that `json` writes; nil if there is no record or its kind is unknown.
  package init?(_ json: JSON?) {
    guard let json, let kind = json["kind"]?.string.flatMap(TaskKind.init(rawValue:)) else { return nil }
    self.kind = kind
    name = json["name"]?.string
    columns = DatasetColumns(
      text: TextColumns(json: json["text"]), textPair: TextColumns(json: json["text_pair"]),
      label: json["label"]?.string, ids: json["ids"]?.string, tokens: json["tokens"]?.string,
      prompt: json["prompt"]?.string)
    subwords = json["subwords"]?.string.flatMap(SubwordUse.init(rawValue:)) ?? .first
    reading = json["labels_are"]?.string.flatMap(LabelReading.init(rawValue:))
    headers = json["columns"]?.array?.compactMap(\.string)
    stride = json["stride"]?.int.flatMap { $0 >= 0 ? $0 : nil }
    threshold = json["threshold"]?.double.flatMap { $0 > 0 && $0 < 1 ? $0 : nil }
    metric = json["metric"]?.string
    maxLength = json["max_length"]?.int.flatMap { $0 > 0 ? $0 : nil }
  }

  /// Throws `.input` with the file and the first key whose value `json` never writes: a record that is damaged, or of
  /// another version, would change how data is read and which labels hold.
  package static func check(_ record: JSON?, at source: String) throws {
    guard let record, !record.isNull else { return }
    func refusal(_ key: String, _ value: JSON, _ wish: String) -> RetortError {
      RetortError(
        .input, "\(key) is \(value.text()), \(wish) was expected", at: source,
        remedy: "correct it, or remove \(TaskRecord.key); files are then read by the usual names of columns")
    }
    guard let members = record.object else { throw refusal(key, record, "an object") }
    func isName(_ value: JSON) -> Bool { value.string != nil }
    func areNames(_ value: JSON) -> Bool { value.array?.allSatisfy(isName) ?? false }
    func oneOf(_ names: [String]) -> (wish: String, isValid: (JSON) -> Bool) {
      (names.joined(separator: " or "), { $0.string.map(names.contains) ?? false })
    }
    let name = (wish: "a name", isValid: isName)
    let texts = (wish: "a name or a list of names", isValid: { isName($0) || areNames($0) })
    let checks: [String: (wish: String, isValid: (JSON) -> Bool)] = [
      "name": name, "text": texts, "text_pair": texts, "label": name, "ids": name, "tokens": name, "prompt": name,
      "columns": ("a list of names", areNames), "subwords": oneOf(SubwordUse.allCases.map(\.rawValue)),
      "stride": ("a whole number from 0", { ($0.int ?? -1) >= 0 }),
      "threshold": ("a number above 0 and below 1", { $0.double.map { $0 > 0 && $0 < 1 } ?? false }),
      "labels_are": oneOf(LabelReading.allCases.map(\.rawValue)), "metric": oneOf(Metric.allCases.map(\.rawValue)),
      "max_length": ("a whole number from 1", { ($0.int ?? 0) > 0 }),
      "kind": oneOf(TaskKind.allCases.map(\.rawValue)),
    ]
    for (member, value) in members.sorted(by: { $0.key < $1.key }) where !value.isNull {
      guard let check = checks[member], !check.isValid(value) else { continue }
      throw refusal("\(key).\(member)", value, check.wish)
    }
    if members["kind"]?.isNull ?? true { throw refusal("\(key).kind", .null, "a kind of task") }
  }

  /// The object for config.json.
  package var json: JSON {
    var members: [String: JSON] = ["kind": .string(kind.rawValue)]
    members["name"] = name.map(JSON.string)
    members["text"] = columns.text?.json
    members["text_pair"] = columns.textPair?.json
    members["label"] = columns.label.map(JSON.string)
    members["ids"] = columns.ids.map(JSON.string)
    members["tokens"] = columns.tokens.map(JSON.string)
    if kind.definition.rows == .tokens { members["subwords"] = .string(subwords.rawValue) }
    members["stride"] = stride.map(JSON.int)
    members["threshold"] = threshold.map(JSON.double)
    members["prompt"] = columns.prompt.map(JSON.string)
    members["labels_are"] = reading.map { .string($0.rawValue) }
    members["columns"] = headers.map { .array($0.map(JSON.string)) }
    members["metric"] = metric.map(JSON.string)
    members["max_length"] = maxLength.map(JSON.int)
    return .object(members)
  }

  /// The task for reading a file: the recorded task, overridden by the columns that the user names.
  ///
  /// If the file lacks the recorded columns, columns with usual names are read instead and a note says so; this is
  /// refused if a model of text pairs would read single texts.
  /// - Parameters:
  ///   - given: the columns that the user names.
  ///   - named: the columns of a file without a header.
  ///   - labelUse: whether labels are read.
  /// Throws `.input` if only one text would be read for a model of pairs.
  package func task(
    _ given: DatasetColumns, for split: DatasetSplit, headers named: [String]? = nil, labelUse: LabelUse = .expected,
    settings: SettingNames
  ) throws -> (task: TaskDescription, notes: [String]) {
    var task = TaskDescription(kind: kind)
    if let name, let known = try? TaskDescription(named: name, kind: kind) { task = known }
    task.labelNames = nil
    task.settings = settings
    task.labelUse = labelUse
    task.headers = named
    task.usualHeaders = headers
    task.usualReading = reading
    task.subwords = subwords
    task.stride = stride.map { WindowStride($0, at: "config.json \(TaskRecord.key).stride") }
    task.threshold = threshold
    if kind.definition.targetsAreOptional { task.labelUse = .ifPresent }
    let file = try task.open(split)
    var wanted = given
    wanted.text = given.text ?? columns.text
    wanted.textPair = given.textPair ?? columns.textPair
    if given.text == nil, given.textPair == nil { (wanted.ids, wanted.tokens) = (columns.ids, columns.tokens) }
    if kind.definition.targets == .nextTokens {
      wanted.prompt = given.prompt ?? columns.prompt.flatMap { file.columns.contains($0) ? $0 : nil }
    }
    let label = given.label ?? columns.label.flatMap { file.has($0) ? $0 : nil }
    wanted.label = label
    if kind.definition.rows == .sequences, given.text == nil, given.textPair == nil,
      wanted.textPair == nil || !wanted.inputs.allSatisfy(file.has)
    {
      // A vector is one of a text, whatever other text stood beside it in training.
      task.columns = DatasetColumns(label: label)
      if let found = try? task.columns(in: file), found.textPair != nil || !wanted.inputs.allSatisfy(file.has) {
        return (task, [])
      }
    }
    task.columns = wanted
    let missing = wanted.inputs.filter { !file.has($0) }
    if missing.isEmpty { return (task, []) }
    if given.text != nil || given.textPair != nil {
      let own = (given.text?.names ?? []) + (given.textPair?.names ?? [])
      if let name = missing.first(where: own.contains) { throw file.missingColumn(name) }
      throw pairRefusal(file, settings)
    }
    // The recorded columns are missing, so only usual names remain.
    var usual = task
    usual.columns = DatasetColumns(label: label)
    let found = try usual.columns(in: file)
    if columns.textPair != nil, found.textPair == nil, found.ids == nil {
      guard let pair = WellKnownTask.usualPairs.first(where: { file.has($0.0) && file.has($0.1) }) else {
        throw pairRefusal(file, settings)
      }
      usual.columns.text = TextColumns(pair.0)
      usual.columns.textPair = TextColumns(pair.1)
    }
    let read = try usual.columns(in: file).inputs.map { quoted($0) }.joined(separator: " and ")
    let known = columns.inputs.map { quoted($0) }.joined(separator: " and ")
    return (usual, ["\(file.path) has not the columns of the training (\(known)): \(read) is read instead"])
  }

  private func pairRefusal(_ file: RowFile, _ settings: SettingNames) -> RetortError {
    let pair = "\(quoted(columns.text?.text ?? "text")) and \(quoted(columns.textPair?.text ?? "text_pair"))"
    return RetortError(
      .input,
      "the model was trained on pairs of texts (\(pair)), and the file has no such pair; found: "
        + quoted(list: file.columns), at: file.path, remedy: "name both texts; \(settings.columns)")
  }
}
