import ArgumentParser
import Chains
import Models
import Platform
import Safetensors
import Tokenizers

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Shows the content of a model directory: family, shape, parameters, tensors, tokenizer.")

  @Argument(help: "A model directory, or a hub id that is found locally.") var model: String
  @Flag(help: "Lists every tensor of the files.") var tensors = false
  @Option(help: "A directory in which hub ids are searched (default: RETORT_MODELS).") var modelsRoot: String?

  func run() throws {
    let directory = try ModelLocator(modelsRoot: modelsRoot).locate(model).path
    let opened = try ModelDirectory(directory, for: .description)
    let (weights, configuration) = (opened.weights, opened.configuration)
    let built = try ModelLoader.build(configuration)
    let report = try opened.check()
    let stored = try weights.names.map { (name: $0, about: try weights.describe($0)) }
    let bytes = stored.reduce(0) { $0 + $1.about.byteCount }
    var lines = [
      "directory   \(directory)", "family      \(configuration.family.rawValue)",
      "shape       \(configuration.shapeText)", "parameters  \(grouped(built.parameterCount))",
      try outputs(configuration, built),
      "files       \(weights.files.joined(separator: ", "))",
      "tensors     \(stored.count), \(grouped(bytes)) bytes, \(types(stored.map(\.about)))",
    ]
    if let misfit = opened.misfit { lines.append("head        \(misfit)") }
    if !report.initialized.isEmpty { lines.append("missing     \(report.initialized.joined(separator: ", "))") }
    if !report.ignored.isEmpty { lines.append("ignored     \(report.ignored.joined(separator: ", "))") }
    if let tokenizer = try loadTokenizer(fromModelDirectory: directory) {
      let files = tokenizerFiles(inModelDirectory: directory).joined(separator: ", ")
      lines.append("tokenizer   \(grouped(tokenizer.vocabularySize)) tokens (\(files))")
    } else {
      lines.append("tokenizer   none: the model reads ids or columns")
    }
    if tensors {
      lines += stored.map { tensor in
        "  \(tensor.name)  \(tensor.about.type)  [\(tensor.about.shape.map(String.init).joined(separator: ", "))]"
      }
    }
    Terminal.write(lines.joined(separator: "\n") + "\n")
    Terminal.warn(of: opened.remarks + (report.warning.map { [$0] } ?? []))
  }

  /// The line about the logits: a vocabulary or classes.
  private func outputs(_ configuration: ModelConfiguration, _ model: any Model) throws -> String {
    if configuration.isLanguageModel {
      let decoder = try DecoderConfiguration(configuration)
      return "predicts    \(grouped(decoder.vocabularySize)) tokens, context of \(grouped(decoder.maximumPositions)), "
        + (decoder.isTied ? "head tied to the embeddings" : "separate head")
    }
    let labels = configuration.labels ?? .generic(model.classCount)
    let names = labels.names.joined(separator: ", ")
    let noun = configuration.kind.definition.noun
    return switch configuration.kind.definition.output {
    case .vector: "embeds      in \(grouped(model.classCount)) dimensions, " + Self.text(configuration.pooling)
    case .score: "predicts    a number (\(noun))"
    case .labels: "labels      \(names) (\(noun))"
    case .classes: "classes     \(names)" + (configuration.kind.definition.rows == .tokens ? " (\(noun))" : "")
    }
  }

  private static func text(_ pooling: Pooling?) -> String {
    let pooling = pooling ?? Pooling()
    return (pooling.mode == .mean ? "the mean of the tokens" : "the first token")
      + (pooling.normalizes ? ", normalised" : "")
  }

  private func types(_ tensors: [TensorDescription]) -> String {
    let counts = Dictionary(tensors.map { ($0.type, 1) }, uniquingKeysWith: +)
    return counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
  }
}
