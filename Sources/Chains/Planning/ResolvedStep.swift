import Models
import Platform
import Tokenizers

/// Where a model is: in a directory, or in the output of an earlier step that may not have run yet.
public enum ModelPlace: Sendable, Equatable {
  case directory(String)
  case step(Int)
}

/// A tokenizer with the files that carry it.
public struct TokenizerFiles: Sendable {
  public let tokenizer: any Tokenizer
  /// Paths of the files to copy beside a student.
  public let files: [String]

  /// The tokenizer of a model directory, or nil where it has none.
  static func load(fromModelDirectory directory: String) throws -> TokenizerFiles? {
    guard let tokenizer = try loadTokenizer(fromModelDirectory: directory) else { return nil }
    let files = tokenizerFiles(inModelDirectory: directory).map { joinPath(directory, $0) }
    return TokenizerFiles(tokenizer: tokenizer, files: files)
  }
}

/// A model that a step uses, as far as it is known before anything runs.
public struct ResolvedModel: Sendable {
  /// What the chain file calls it.
  public let reference: String
  public let place: ModelPlace
  public let configuration: ModelConfiguration
  /// nil: the model reads token ids or numeric columns.
  public let tokenizer: TokenizerFiles?
}

/// Where a student's first weights come from.
public enum StudentOrigin: Sendable, Equatable {
  case random
  case checkpoint(ModelPlace)
  /// Some layers of the teacher, by index.
  case teacherLayers([Int], ModelPlace)
}

/// The student of a step before training.
public struct ResolvedStudent: Sendable {
  public let reference: String
  public let origin: StudentOrigin
  public let configuration: ModelConfiguration
  public let tokenizer: TokenizerFiles?
  public let parameterCount: Int
}

/// A step of the chain with every reference followed and every model's configuration read.
public struct ResolvedStep: Sendable {
  public let index: Int
  public let configuration: StepConfiguration
  /// nil: plain fine-tuning.
  public let teacher: ResolvedModel?
  public let student: ResolvedStudent
  /// Absolute.
  public let outputDirectory: String
  /// Tokens of an example that both models can take.
  public let maxLength: Int?

  public var id: String { configuration.id }
  public var hyperparameters: Hyperparameters { configuration.hyperparameters }
}
