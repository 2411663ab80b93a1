import ArgumentParser
import Chains
import Collectives
import Datasets
import Models
import Platform
import Tensors
import Tokenizers

/// The options with which `evaluate` reads documents.
struct DocumentOptions: ParsableArguments {
  @Option(help: "Where plain text is cut: file, paragraph, line, or a separator (default: <|endoftext|>, else file).")
  var documents: String?
  @Option(help: "The column of the prompt, which precedes a text and is not predicted (default: prompt).")
  var prompt: String?

  func validate() throws {
    if documents == "" { throw ValidationError("--documents is empty") }
  }

  /// Opens a file of documents with the model's tokenizer; collective.
  func open(
    _ file: String, _ options: ModelOptions, _ model: ModelConfiguration, _ tokenizer: (any Tokenizer)?,
    on communicator: any Communicator
  ) throws -> PackedDocuments {
    let input = try communicator.agree {
      try options.input(file, label: nil, needsLabels: false, prompt: prompt, for: model)
    }
    var task = input.task
    task.documents = documents.map(DocumentCut.init(named:)) ?? .automatic
    let (directory, limit) = try communicator.agree {
      (try ModelLocator(modelsRoot: options.modelsRoot).locate(options.model).path, try rowLength(options, model))
    }
    let end = try communicator.agree { try model.endOfText(of: tokenizer, inModelDirectory: directory) }
    let documents = try PackedDocuments.open(
      input.split, task: task, tokenizer: tokenizer, endOfText: end,
      options: TokenizedDataset.Options(
        maxLength: limit, vocabularySize: model.vocabularySize, cacheDirectory: nil,
        threads: LinearAlgebraLibrary.threads), on: communicator)
    report(documents.notes, on: communicator)
    return documents
  }

  /// Tokens of a row: `--max-length`, or the model's context.
  private func rowLength(_ options: ModelOptions, _ model: ModelConfiguration) throws -> Int? {
    guard let wanted = options.maxLength, let context = model.maximumPositions, wanted > context else {
      return options.maxLength ?? model.maximumPositions
    }
    throw RetortError(
      .configuration, "\(wanted) is longer than the model's context of \(context) tokens", at: "--max-length",
      remedy: "give \(context) or less")
  }

  /// Throws `.configuration` if an option is given that does not apply to classifiers.
  func refuse(for model: ModelConfiguration) throws {
    guard let option = documents != nil ? "--documents" : prompt != nil ? "--prompt" : nil else { return }
    var error = RetortError(
      .configuration, "is for language models, and this is a \(model.family.rawValue) model", at: option)
    error.isCollective = true
    throw error
  }
}
