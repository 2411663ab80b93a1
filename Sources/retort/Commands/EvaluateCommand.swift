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
    abstract: "Measures a classifier on labelled data, or a language model on documents.",
    discussion: """
      Every example counts exactly once: of documents every token but the first, each predicted from those before \
      it in its row of --max-length tokens.

      Examples:
        retort evaluate ./artifacts/step1_mini --data sst2/dev.tsv --text sentence --label label
        retort evaluate ./artifacts/student --data stories.txt --documents paragraph
      """)

  @OptionGroup var options: ModelOptions
  @Option(help: "The labelled file (tsv, csv or jsonl), or a file of documents (txt too); -: standard input (jsonl).")
  var data: String
  @Option(help: "The column of the label (default: label).") var label: String?
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
      data, label: label, needsLabels: true, for: model, tokenizer, on: communicator)
    let logits = try options.logits(of: model.model, on: communicator)
    let result = try Evaluator.evaluate(examples, classCount: model.model.classCount, on: communicator) {
      logits(examples.batch($0))
    }
    try requireFinite(result)
    guard communicator.isFirst else { return }
    Terminal.write((json ? object(result).text() : text(result, model.labels)) + "\n")
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

  /// Throws `.configuration` where a column is named that documents have no use for.
  private func refuseClassColumns(for model: ModelConfiguration) throws {
    guard let option = label != nil ? "--label" : options.textPair != nil ? "--text-pair" : nil else { return }
    var error = RetortError(
      .configuration, "is for classifiers, and this is a \(model.family.rawValue) model", at: option)
    error.isCollective = true
    throw error
  }

  /// All ranks have the same result.
  private func requireFinite(_ result: EvaluationResult) throws {
    if result.loss.isFinite { return }
    var error = RetortError(
      .numerical, "the loss is not finite", at: data,
      remedy: "check the weights of \(options.model) for NaN, or compute with --precision fp32")
    error.isCollective = true
    throw error
  }

  private func object(_ result: EvaluationResult) -> JSON {
    [
      "accuracy": .double(result.accuracy), "correct": .int(result.correct), "count": .int(result.count),
      "standard_error": .double(result.standardError), "loss": .double(result.loss),
      "f1": .double(result.value(.f1)), "matthews_correlation": .double(result.value(.matthews)),
      "balanced_accuracy": .double(result.balancedAccuracy), "confusion": .array(result.confusion.map(JSON.int)),
      "interval": result.proportion?.intervalJSON ?? .null,
    ]
  }

  private func text(_ result: EvaluationResult, _ labels: LabelNames) -> String {
    var lines = [
      "accuracy  \(fixed(result.accuracy, 4)) ± \(fixed(result.standardError, 4)) "
        + "(\(result.correct) of \(result.count))",
      "loss      \(fixed(result.loss, 4))", "f1        \(fixed(result.value(.f1), 4))",
      "matthews  \(fixed(result.value(.matthews), 4))", "predicted classes by label:",
    ]
    for (row, name) in labels.names.enumerated() {
      let counts = result.confusion[row * result.classCount..<(row + 1) * result.classCount]
      lines.append("  \(name): \(counts.map(String.init).joined(separator: " "))")
    }
    if let interval = result.proportion?.interval {
      lines.append(
        "95 % interval of the accuracy: \(fixed(interval.lowerBound, 4)) to \(fixed(interval.upperBound, 4))")
    }
    return lines.joined(separator: "\n")
  }
}
