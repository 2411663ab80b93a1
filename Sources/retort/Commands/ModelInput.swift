import ArgumentParser
import Autograd
import Chains
import Collectives
import Datasets
import Models
import Platform
import Tensors
import Tokenizers

/// The options by which `predict` and `evaluate` name a model and its columns.
struct ModelOptions: ParsableArguments {
  @Argument(help: "A model directory, or a hub id that is found locally.") var model: String
  @Option(help: "The column of the text (default: text or sentence).") var text: String?
  @Option(help: "The column of the second text of a pair.") var textPair: String?
  @Option(help: "Tokens of an example at most (default: the model's positions).") var maxLength: Int?
  @Option(help: "fp32, bf16, or auto: bf16 where the CPU multiplies it natively.")
  var precision: PrecisionOption = .auto
  @Option(help: "A directory in which hub ids are looked for (default: RETORT_MODELS).") var modelsRoot: String?

  func validate() throws {
    try requireOption("--max-length", maxLength, 1...largestCount)
  }

  /// Reads the model, for what its outputs mean to the command; collective.
  func load(for use: ModelUse = .answers, on communicator: any Communicator) throws -> (LoadedModel, (any Tokenizer)?) {
    let (loaded, tokenizer) = try communicator.agree {
      let directory = try ModelLocator(modelsRoot: modelsRoot).locate(model).path
      return (try ModelLoader.load(directory: directory, for: use), try loadTokenizer(fromModelDirectory: directory))
    }
    if communicator.isFirst { Terminal.warn(of: loaded.warnings) }
    return (loaded, tokenizer)
  }

  /// The logits of a batch as a function of the model, in the wanted precision; collective.
  func logits(of model: any Model, on communicator: any Communicator) throws -> (Batch) -> Tensor {
    let precision = try precision.resolved(on: communicator)
    model.freeze(for: precision)
    return { model.logits($0, precision: precision) }
  }

  /// The likelihood of each sequence of a batch as a function of a language model; collective.
  func scores(of model: any LanguageModel, on communicator: any Communicator) throws -> (Batch) -> [SequenceScore] {
    let precision = try precision.resolved(on: communicator)
    model.freeze(for: precision)
    let weights = BF16Weights()
    return { model.scores($0, precision: precision, weights: weights) }
  }

  /// Opens a data file as the model reads it; collective.
  func open(
    _ file: String, label: String?, needsLabels: Bool, for model: LoadedModel, _ tokenizer: (any Tokenizer)?,
    on communicator: any Communicator
  ) throws -> any ExampleSource {
    let isTable = model.configuration.family == .perceptron
    if needsLabels, model.configuration.family.isLanguageModel {
      try communicator.agree {
        throw RetortError(
          .input, "a \(model.configuration.family.rawValue) model predicts tokens, it has no classes", at: self.model,
          remedy: "retort predict gives the likelihood of texts")
      }
    }
    var columns = DatasetColumns(text: text, textPair: textPair, label: label)
    if isTable, let names = model.configuration.json["feature_columns"]?.array?.compactMap(\.string),
      !(names.first?.hasPrefix("features[") ?? true)
    {
      columns.features = names
    }
    let task = TaskDescription(kind: isTable ? .features : .classification, columns: columns)
    let names = model.labels
    let labels = names.isGeneric ? LabelSet(count: names.names.count) : LabelSet(names: names.names)
    if isTable {
      let data = try FeatureDataset.open(
        file, task: task, labels: needsLabels ? labels : nil, requiresLabels: needsLabels, on: communicator)
      try communicator.agree {
        let inputs = try PerceptronConfiguration(model.configuration).inputSize
        if data.featureCount != inputs {
          throw RetortError(
            .input, "the file has \(data.featureCount) numeric columns, the model reads \(inputs)", at: file,
            remedy: "give the columns that the model was trained on")
        }
      }
      return data
    }
    let context = model.configuration.maximumPositions
    let isLanguage = model.configuration.family.isLanguageModel
    // A likelihood of a part of the text would look like that of the text.
    let limits = [maxLength, isLanguage ? nil : context].compactMap { $0 }
    let data = try TokenizedDataset.open(
      file, task: task, labels: needsLabels ? labels : nil, tokenizer: tokenizer,
      options: TokenizedDataset.Options(
        maxLength: limits.min(), vocabularySize: model.configuration.vocabularySize,
        tokenTypes: model.configuration.tokenTypes, requiresLabels: needsLabels,
        cacheDirectory: nil), on: communicator)
    report(data.notes, on: communicator)
    if let context, let row = data.lengths.firstIndex(where: { Int($0) > context }) {
      // All ranks see the same lengths.
      try communicator.agree {
        throw RetortError(
          .input, "example \(row + 1) has \(data.lengths[row]) tokens, the model's context is \(context)", at: file,
          remedy: "shorten it, or cut all with --max-length \(context)")
      }
    }
    return data
  }
}

/// Says on standard error what was noticed in a data file, once for all ranks.
func report(_ notes: [String], on communicator: any Communicator) {
  guard communicator.isFirst else { return }
  for note in notes { Terminal.write("retort: \(note)\n", toError: true) }
}
