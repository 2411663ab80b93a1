import Collectives
import Datasets
import Models
import Platform
import Tensors
import Tokenizers

/// The two splits of a chain's data in the tokens of one model.
///
/// Which rows have a label: `train.labelled` and `validation.labelled`; both forms of a step's data agree in it.
struct SplitData {
  let train: any ExampleSource
  let validation: any ExampleSource
  /// For numeric columns: their names, means and standard deviations over the training split.
  var columns: FeatureColumns?
}

/// The statistics of numeric columns that a new model is initialised with.
struct FeatureColumns {
  let names: [String]
  let means: [Double]
  let deviations: [Double]
}

/// Opens a chain's data once per tokenizer and length.
///
/// All methods are collective.
final class DataRegistry {
  private let files: LocatedDataset
  private let task: TaskDescription
  /// nil if the task has no classes.
  private let labels: LabelSet?
  private let cacheDirectory: String?
  private let cacheLimit: Int
  private let communicator: any Communicator
  private var opened: [String: SplitData] = [:]
  private(set) var notes: [String] = []

  init(
    _ files: LocatedDataset, task: TaskDescription, labels: LabelSet?, cacheDirectory: String?, cacheLimit: Int,
    on communicator: any Communicator
  ) {
    self.files = files
    self.task = task
    self.labels = labels
    self.cacheDirectory = cacheDirectory
    self.cacheLimit = cacheLimit
    self.communicator = communicator
  }

  /// The data in the tokens of a tokenizer.
  ///
  /// - Parameters:
  ///   - model: an id beyond its token embeddings is refused with its line, and so are pairs if it has one segment.
  func data(for tokenizer: (any Tokenizer)?, maxLength: Int?, model: ModelConfiguration) throws -> SplitData {
    let key = "\(tokenizer?.digest ?? "none") \(maxLength ?? 0) \(model.vocabularySize ?? 0) \(model.tokenTypes ?? 0)"
    if let found = opened[key] { return found }
    let data = task.definition.readsTokens ? try tokens(tokenizer, maxLength, model) : try features()
    opened[key] = data
    return data
  }

  private func tokens(_ tokenizer: (any Tokenizer)?, _ maxLength: Int?, _ model: ModelConfiguration) throws -> SplitData
  {
    let options = options(maxLength: maxLength, model.vocabularySize, tokenTypes: model.tokenTypes)
    func open(_ split: DatasetSplit, _ task: TaskDescription) throws -> TokenizedDataset {
      let data = try TokenizedDataset.open(
        split, task: task, labels: labels, tokenizer: tokenizer, options: options, on: communicator)
      add(data.notes)
      return data
    }
    return SplitData(train: try open(files.train, task), validation: try open(files.validation, task.ofValidation))
  }

  /// The data as documents in rows of at most `rowLength` tokens.
  ///
  /// - Parameters:
  ///   - endOfText: the token after each text; nil for none.
  ///   - vocabulary: the tokens of all models that read the data; a larger id is refused with its line.
  func documents(
    for tokenizer: (any Tokenizer)?, endOfText: Int32?, rowLength: Int?, vocabulary: Int?
  ) throws -> SplitData {
    let key = "\(tokenizer?.digest ?? "none") \(endOfText ?? -1) \(rowLength ?? 0) \(vocabulary ?? 0) documents"
    if let found = opened[key] { return found }
    let options = options(maxLength: rowLength, vocabulary, tokenTypes: nil)
    func open(_ split: DatasetSplit) throws -> PackedDocuments {
      let data = try PackedDocuments.open(
        split, task: task, tokenizer: tokenizer, endOfText: endOfText, options: options, on: communicator)
      add(data.notes)
      return data
    }
    let data = SplitData(train: try open(files.train), validation: try open(files.validation))
    opened[key] = data
    return data
  }

  private func options(maxLength: Int?, _ vocabulary: Int?, tokenTypes: Int?) -> TokenizedDataset.Options {
    TokenizedDataset.Options(
      maxLength: maxLength, vocabularySize: vocabulary, tokenTypes: tokenTypes,
      cacheDirectory: cacheDirectory, cacheLimit: cacheLimit, threads: LinearAlgebraLibrary.threads)
  }

  private func features() throws -> SplitData {
    let train = try FeatureDataset.open(files.train, task: task, labels: labels, on: communicator)
    // The validation file may have its columns in a different order.
    var task = task.ofValidation
    if !train.columnNames[0].hasPrefix("features[") { task.columns.features = train.columnNames }
    let validation = try FeatureDataset.open(files.validation, task: task, labels: labels, on: communicator)
    add(train.notes + validation.notes)
    let columns = FeatureColumns(
      names: train.columnNames, means: train.means.map(Double.init),
      deviations: train.standardDeviations.map(Double.init))
    return SplitData(train: train, validation: validation, columns: columns)
  }

  private func add(_ remarks: [String]) {
    for remark in remarks where !notes.contains(remark) { notes.append(remark) }
  }
}

extension TaskDescription {
  /// The task of a chain file: a named one, with the file's other settings.
  init(_ configuration: TaskConfiguration) throws {
    if let name = configuration.name {
      try self.init(named: name, kind: configuration.kind)
    } else {
      self.init(kind: configuration.kind)
    }
    kind = configuration.kind
    if definition.targetsAreOptional { labelUse = .ifPresent }
    columns.tokens = configuration.tokens ?? columns.tokens
    (subwords, stride, threshold) = (configuration.subwords, configuration.stride, configuration.threshold)
    columns.text = configuration.text ?? columns.text
    columns.textPair = configuration.textPair ?? columns.textPair
    columns.label = configuration.label ?? columns.label
    if !configuration.hasLabels { labelUse = .unread }
    columns.features = configuration.features ?? columns.features
    columns.prompt = configuration.prompt ?? columns.prompt
    labelReading = configuration.labelsAre
    headers = configuration.columns
    documents = configuration.documents ?? documents
    labelNames = configuration.labels ?? labelNames
  }
}
