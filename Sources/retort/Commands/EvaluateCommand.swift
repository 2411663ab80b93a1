import ArgumentParser
import Collectives
import Datasets
import Models
import Platform
import Tokenizers
import Training

struct EvaluateCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Measures a model on labelled data, or a language model on documents.",
    discussion: """
      A student's config.json records its columns, pairs, length and metric. Every example counts exactly once: a \
      classifier's by accuracy, F1 and Matthews' correlation, a tagger's words by entities as conlleval counts them, a \
      scorer's by Spearman's and Pearson's correlation, those with several labels by micro and macro F1. In \
      documents every token but the first counts, predicted from the tokens before it in its row of --max-length \
      tokens.

      Examples:
        retort evaluate ./artifacts/step1_mini --data sst2/dev.tsv
        retort evaluate models/bert-cola --data in_domain_dev.tsv --task cola
        retort evaluate models/bert-ner --data test.conll
        retort evaluate ./artifacts/student --data stories.txt --documents paragraph
      """)

  @OptionGroup var options: ModelOptions
  @Option(
    help: """
      The labelled file (tsv, csv, json or jsonl; of a tagger also conll, bio, iob or txt), a directory with one, or a \
      file of documents (also txt), each also as gz; - for standard input (jsonl).
      """)
  var data: String
  @Option(help: "The column of the label (default: as in training, else label).") var label: String?
  @Option(help: "How labels are read: name, index, index_from_1 or boolean (default: decided by all rows).")
  var labelsAre: LabelReading?
  @OptionGroup var documents: DocumentOptions
  @Flag(help: "Prints one JSON object.") var json = false

  func run(on communicator: any Communicator) throws {
    let data = try StreamedInput.resolve(data, on: communicator)
    let (model, tokenizer) = try options.load(on: communicator)
    if let language = model.model as? any LanguageModel {
      return try evaluate(language, on: data, model.configuration, tokenizer, communicator)
    }
    try documents.refuse(for: model.configuration)
    let examples = try options.open(
      data, label: label, needsLabels: true, labelsAre: labelsAre, for: model, tokenizer, on: communicator
    ).data
    try requireLabels(examples, on: communicator)
    let logits = try options.logits(of: model.model, on: communicator)
    let record = TaskRecord(model.configuration.json[TaskRecord.key])
    let result = try Evaluator.evaluate(
      examples, names: model.labels.names, threshold: record?.threshold, on: communicator
    ) {
      logits(examples.batch($0))
    }
    try requireFinite(result)
    guard communicator.isFirst else { return }
    let defined = examples.kind.definition.metrics(of: model.labels.names)
    let metric = record?.metric.flatMap(Metric.init(rawValue:)).flatMap { defined.contains($0) ? $0 : nil }
    let report = EvaluationReport(result, metric: metric ?? defined.first ?? .loss, labels: model.labels)
    Terminal.write((json ? report.json.text() : report.text) + "\n")
  }

  private func evaluate(
    _ model: any LanguageModel, on data: String, _ configuration: ModelConfiguration,
    _ tokenizer: (any Tokenizer)?, _ communicator: any Communicator
  ) throws {
    try refuseClassColumns(for: configuration)
    let examples = try documents.open(data, options, configuration, tokenizer, on: communicator)
    let precision = try options.precision.resolved(on: communicator)
    model.freeze(for: precision)
    let result = try Evaluator.evaluate(documents: examples, on: communicator) {
      model.crossEntropySum(examples.batch($0), precision: precision)
    }
    try requireFinite(result)
    guard communicator.isFirst else { return }
    let object: JSON = [
      "perplexity": .double(result.perplexity), "loss": .double(result.loss), "count": .int(result.count),
      "documents": .int(examples.documentCount), "tokens": .int(examples.totalTokens),
      "max_length": .int(examples.rowLength),
    ]
    let text = """
      perplexity  \(fixed(result.perplexity, 4))
      loss        \(fixed(result.loss, 6))
      tokens      \(grouped(result.count)) predicted of \(grouped(examples.totalTokens)), in \
      \(grouped(examples.documentCount)) documents and rows of at most \(examples.rowLength)
      """
    Terminal.write((json ? object.text() : text) + "\n")
  }

  /// Throws `.configuration` if a column is named that does not apply to documents.
  private func refuseClassColumns(for model: ModelConfiguration) throws {
    guard let option = label != nil ? "--label" : options.textPair != nil ? "--text-pair" : nil else { return }
    var error = RetortError(
      .configuration, "is for classifiers, and this is a \(model.family.rawValue) model", at: option)
    error.isCollective = true
    throw error
  }

  /// Reports the rows without a label, which do not count; throws `.input` if no row has one. All ranks read the same.
  private func requireLabels(_ examples: any ExampleSource, on communicator: any Communicator) throws {
    switch examples.labelled {
    case .all: return
    case .some(let count):
      let without = "\(grouped(examples.count - count)) of \(grouped(examples.count)) rows of \(data) have no label"
      report(["\(without): the figures cover only the others"], on: communicator)
    case .none:
      var error = RetortError(
        .input, "no row has a label", at: data,
        remedy: "give labelled rows, or name the column with --label; retort predict needs no labels")
      error.isCollective = true
      throw error
    }
  }

  /// Throws `.numerical` for a loss that is not finite; all ranks have the same result.
  private func requireFinite(_ result: EvaluationResult) throws {
    if result.loss.isFinite { return }
    var error = RetortError(
      .numerical, "the loss is not finite", at: data,
      remedy: "check the weights of \(options.model) for NaN, or compute with --precision fp32")
    error.isCollective = true
    throw error
  }
}

extension LabelReading: ExpressibleByArgument {}
