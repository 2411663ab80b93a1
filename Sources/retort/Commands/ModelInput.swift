import ArgumentParser
import Autograd
import Chains
import Collectives
import Datasets
import Models
import Platform
import Tensors
import Tokenizers

/// The options with which `predict` and `evaluate` name a model and its columns.
struct ModelOptions: ParsableArguments {
  @Argument(help: "A model directory, or a hub id that is found locally.") var model: String
  @Option(help: "The column of the text, or several joined: a,b (default: as in training, else text or sentence).")
  var text: String?
  @Option(help: "The column of the second text of a pair (default: as in training).") var textPair: String?
  @Option(help: "A known task, such as cola or ag_news, whose columns the file has.") var task: String?
  @Option(help: "The columns of a CSV or TSV file without a header, in order: a,b,c.") var columns: String?
  @Option(help: "The most tokens of an example (default: as in training, else the model's positions).")
  var maxLength: Int?
  @Option(
    help: "Tokens that two windows of a longer text share; taggers and embedders (default: as in training, else cut).")
  var stride: Int?
  @Option(help: "fp32, bf16, or auto: bf16 if the CPU multiplies it natively.")
  var precision: PrecisionOption = .auto
  @Option(help: "A directory in which hub ids are searched (default: RETORT_MODELS).") var modelsRoot: String?

  func validate() throws {
    try requireOption("--max-length", maxLength, 1...largestCount)
    try requireOption("--stride", stride, 0...largestCount)
    for (option, value) in [("--text", text), ("--text-pair", textPair), ("--columns", columns)] {
      guard let value else { continue }
      let names = ModelOptions.names(value)
      if names.contains("") || names.isEmpty { throw ValidationError("\(option) has an empty name") }
      if Set(names).count < names.count { throw ValidationError("\(option) names a column twice") }
    }
    if let task { _ = try ModelOptions.known(task) }
  }

  /// Loads the model and its tokenizer; collective.
  func load(on communicator: any Communicator) throws -> (LoadedModel, (any Tokenizer)?) {
    let directory = try locateModel(model, modelsRoot, on: communicator)
    let (loaded, tokenizer) = try communicator.agree {
      let loaded = try ModelLoader.load(directory: directory)
      try TaskRecord.check(loaded.configuration.json[TaskRecord.key], at: loaded.configuration.source)
      return (loaded, try loadTokenizer(fromModelDirectory: directory))
    }
    if communicator.isFirst { Terminal.warn(of: loaded.warnings + (tokenizer?.remarks ?? [])) }
    return (loaded, tokenizer)
  }

  /// Throws `.configuration` for an output that would replace a file in the model's directory; collective.
  func requireApart(_ output: String, on communicator: any Communicator) throws {
    try communicator.agree {
      guard case .file(let path) = try OutputFile.place(of: output), fileExists(path),
        let directory = try? ModelLocator(modelsRoot: modelsRoot).locate(model).path
      else { return }
      if try listDirectory(directory).contains(where: { isSameFile(joinPath(directory, $0), path) }) {
        throw RetortError(
          .configuration, "is a file of the model itself, and would be lost", at: "--output \(output)",
          remedy: "name another file")
      }
    }
  }

  /// A function from a batch to the model's logits, in the chosen precision; collective.
  func logits(of model: any Model, on communicator: any Communicator) throws -> (Batch) -> Tensor {
    let precision = try precision.resolved(on: communicator)
    model.freeze(for: precision)
    return { model.logits($0, precision: precision) }
  }

  /// A function from a batch to the likelihood of each sequence under a language model; collective.
  func scores(of model: any LanguageModel, on communicator: any Communicator) throws -> (Batch) -> [SequenceScore] {
    let precision = try precision.resolved(on: communicator)
    model.freeze(for: precision)
    let weights = BF16Weights()
    return { model.scores($0, precision: precision, weights: weights) }
  }

  /// Opens a data file with the model's tokenizer and columns, and for a tagger the words of its rows; collective.
  ///
  /// Remarks about the file go to standard error.
  func open(
    _ file: String, label: String?, needsLabels: Bool, labelsAre: LabelReading? = nil, for model: LoadedModel,
    _ tokenizer: (any Tokenizer)?, on communicator: any Communicator
  ) throws -> (data: any ExampleSource, words: CountedWords?) {
    let isTable = model.configuration.family == .perceptron
    try communicator.requireSameFiles([file])
    if needsLabels { try communicator.agree { try requireClasses(model) } }
    let input = try communicator.agree {
      try self.input(file, label: label, needsLabels: needsLabels, for: model.configuration)
    }
    var task = input.task
    task.labelReading = labelsAre
    task.labelUse = needsLabels ? .expected : .unread
    var notes = input.notes
    let names = model.labels
    var labels = names.isGeneric ? LabelSet(count: names.names.count) : LabelSet(names: names.names)
    labels.settings = .options
    if isTable {
      let data = try FeatureDataset.open(
        input.split, task: task, labels: needsLabels ? labels : nil, on: communicator)
      try communicator.agree {
        let inputs = try PerceptronConfiguration(model.configuration).inputSize
        if data.featureCount != inputs {
          throw RetortError(
            .input, "the file has \(data.featureCount) numeric columns, but the model reads \(inputs)", at: file,
            remedy: "give the columns that the model was trained on")
        }
      }
      remark(notes + data.notes, on: communicator)
      return (data, nil)
    }
    let context = model.configuration.maximumPositions
    let isLanguage = model.configuration.isLanguageModel
    let trained = isLanguage || maxLength != nil ? nil : TaskRecord(model.configuration.json[TaskRecord.key])?.maxLength
    // Texts for a language model are not cut: the likelihood of a part would look like that of the whole.
    let limits = [maxLength ?? trained, isLanguage ? nil : context].compactMap { $0 }
    let data = try TokenizedDataset.open(
      input.split, task: task, labels: needsLabels ? labels : nil, tokenizer: tokenizer,
      options: TokenizedDataset.Options(
        maxLength: limits.min(), vocabularySize: model.configuration.vocabularySize,
        tokenTypes: model.configuration.tokenTypes, cacheDirectory: nil), on: communicator)
    // Of texts that are read apart or in windows, each sequence is cut already.
    let isWhole = task.definition.rows != .sequences && task.stride == nil
    if isWhole, let context, let row = data.lengths.firstIndex(where: { Int($0) > context }) {
      // All ranks see the same lengths.
      try communicator.agree {
        throw RetortError(
          .input, "example \(row + 1) has \(data.lengths[row]) tokens, but the model's context is \(context)", at: file,
          remedy: "shorten it, or cut all with --max-length \(context)")
      }
    }
    if let trained, trained < context ?? .max, data.cutRows > 0 {
      notes.append("texts are cut to \(trained) tokens as in training; --max-length \(context ?? trained) reads more")
    }
    remark(notes + data.notes, on: communicator)
    guard task.definition.rows == .tokens else { return (data, nil) }
    return (data, try communicator.agree { try CountedWords(input.split, task, tokenizer, maxLength: limits.min()) })
  }

  /// The files to read, the task and remarks.
  struct Input {
    let split: DatasetSplit
    var task: TaskDescription
    var notes: [String] = []
  }

  /// The task with which a file is read: from the options, else from the student's record, else from the names of the
  /// columns.
  func input(
    _ file: String, label: String?, needsLabels: Bool, prompt: String? = nil, for model: ModelConfiguration
  ) throws -> Input {
    let (split, said) = try ModelOptions.split(file)
    let given = DatasetColumns(
      text: text.map { TextColumns(ModelOptions.names($0)) },
      textPair: textPair.map { TextColumns(ModelOptions.names($0)) },
      label: label, prompt: prompt)
    let kind = model.kind
    var input = Input(split: split, task: TaskDescription(kind: kind, columns: given), notes: said)
    let labelUse: LabelUse = needsLabels ? .expected : .unread
    input.task.labelUse = labelUse
    if let record = TaskRecord(model.json[TaskRecord.key]), record.kind == kind, kind.definition.readsTokens,
      task == nil
    {
      let recorded = try record.task(
        given, for: split, headers: columns.map(ModelOptions.names), labelUse: labelUse, settings: .options)
      input.task = recorded.task
      input.notes += recorded.notes
    } else if let task {
      input.task = try ModelOptions.known(task)
      // Scores of pairs are what the cosines of vectors are correlated with.
      if kind.definition.targets == .similarity, input.task.definition.targets == .score {
        input.task = try TaskDescription(named: task, kind: kind)
      }
      if input.task.kind != kind {
        throw RetortError(
          .configuration,
          "the task \(quoted(task)) is \(input.task.kind.rawValue), and the model's is \(kind.rawValue)",
          at: "--task", remedy: "leave it out, or name the columns with --text, --text-pair and --label")
      }
      input.task.columns = given
    }
    input.task.labelNames = nil
    input.task.settings = .options
    input.task.headers = columns.map(ModelOptions.names)
    if let stride {
      if !kind.definition.readsWindows {
        throw RetortError(
          .configuration, "windows are for taggers and embedders, and the model's task is \(kind.rawValue)",
          at: "--stride", remedy: "leave it out")
      }
      input.task.stride = WindowStride(stride, at: "--stride")
    }
    if !kind.definition.readsTokens, let names = model.json["feature_columns"]?.array?.compactMap(\.string),
      !(names.first?.hasPrefix("features[") ?? true)
    {
      input.task.columns.features = names
    }
    if kind.definition.head == .sequence {
      let opened = try input.task.open(split)
      let found = try input.task.columns(in: opened)
      if let pair = found.textPair, pair == found.text, text == nil || textPair == nil {
        let missing = text == nil ? "--text" : "--text-pair"
        throw RetortError(
          .input, "both texts of a pair would be the column \(quoted(pair.text))", at: opened.path,
          remedy: "name the other one too, with \(missing)")
      }
      if let partner = TaskDescription.unreadPartner(of: found, in: opened) {
        input.notes.append(
          "\(opened.path): the column \(quoted(partner)) is not read; --text-pair \(partner) reads it as second text")
      }
    }
    return input
  }

  /// A file, or the validation or test split of a directory with a remark that names it.
  static func split(_ file: String) throws -> (DatasetSplit, notes: [String]) {
    guard isDirectory(file) else { return (DatasetSplit(file), []) }
    let files = try DatasetFiles.find(inDirectory: file)
    guard let split = files.validation ?? files.test else {
      throw RetortError(
        .input, "has neither a validation nor a test split, only \(files.train?.name ?? "nothing")", at: file,
        remedy: "name the file to read")
    }
    return (split, ["reading \(split.name)"])
  }

  /// The names in a list separated by commas.
  static func names(_ text: String) -> [String] {
    text.split(separator: ",", omittingEmptySubsequences: false).map {
      String($0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
  }

  /// The task with a name. Throws `.configuration` for an unknown name.
  static func known(_ name: String) throws -> TaskDescription {
    do { return try TaskDescription(named: name) } catch {
      var refusal = RetortError.wrap(error)
      refusal.location = "--task"
      throw refusal
    }
  }

  /// Throws `.input` for a language model, whose data has no labels.
  private func requireClasses(_ model: LoadedModel) throws {
    if model.configuration.isLanguageModel {
      throw RetortError(
        .input, "a \(model.configuration.family.rawValue) model predicts tokens, it has no classes", at: self.model,
        remedy: "retort predict gives the likelihood of texts")
    }
  }

  private func remark(_ notes: [String], on communicator: any Communicator) {
    guard communicator.isFirst else { return }
    for note in notes { Terminal.write("retort: \(note)\n", toError: true) }
  }
}

/// The directory of a model, with the same files on all ranks; collective.
func locateModel(_ name: String, _ modelsRoot: String?, on communicator: any Communicator) throws -> String {
  let directory = try communicator.agree { try ModelLocator(modelsRoot: modelsRoot).locate(name).path }
  if communicator.size > 1 {
    let files = try communicator.agree { try listDirectory(directory) }
    try communicator.requireEqual(shellText(files), label: "the list of files of \(directory)")
    try communicator.requireSameFiles(files.map { joinPath(directory, $0) })
  }
  return directory
}

/// Writes remarks about a data file to standard error, on rank 0 only.
func report(_ notes: [String], on communicator: any Communicator) {
  guard communicator.isFirst else { return }
  for note in notes { Terminal.write("retort: \(note)\n", toError: true) }
}
