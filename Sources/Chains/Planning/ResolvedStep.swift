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
  /// The tokenizer, loaded.
  public let tokenizer: any Tokenizer
  /// Paths of the files to copy beside a student.
  public let files: [String]
  /// The tokens before and behind a text.
  let borders: TextBorders

  /// The tokenizer of a model directory, or nil where it has none.
  static func load(fromModelDirectory directory: String) throws -> TokenizerFiles? {
    guard let tokenizer = try loadTokenizer(fromModelDirectory: directory) else { return nil }
    let files = tokenizerFiles(inModelDirectory: directory).map { joinPath(directory, $0) }
    return TokenizerFiles(
      tokenizer: tokenizer, files: files, borders: try TextBorders(tokenizer, inModelDirectory: directory))
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
  /// What a person must know of its files: a sentence each, without a full stop.
  public var remarks: [String] = []
}

/// Where a student's first weights come from.
public enum StudentOrigin: Sendable, Equatable {
  case random
  case checkpoint(ModelPlace)
  /// Some layers of another model, by index: of the teacher, or of the one that `student_init` names.
  case layers([Int], ModelPlace)

  /// The model that the first weights come from; nil where they are random.
  var place: ModelPlace? {
    switch self {
    case .random: nil
    case .checkpoint(let place), .layers(_, let place): place
    }
  }
}

/// The student of a step before training.
public struct ResolvedStudent: Sendable {
  /// What messages call it: the chain file's reference, "FAMILY (random)" or "TEACHER layers 0,2".
  public let reference: String
  /// Where its first weights come from.
  public let origin: StudentOrigin
  /// Family, sizes and classes; with the names of the columns where the data is numeric.
  public let configuration: ModelConfiguration
  /// The tokenizer that is copied beside the student; nil: it reads token ids or numeric columns.
  public let tokenizer: TokenizerFiles?
  /// Trainable weights.
  public let parameterCount: Int
  /// What becomes of the head of its first weights.
  public var head = StudentHead.fitting
  /// What a person must know of its first weights: a sentence each, without a full stop.
  public var remarks: [String] = []
}

/// A step of the chain with every reference followed and every model's configuration read.
public struct ResolvedStep: Sendable {
  /// Place in the chain, from 0.
  public let index: Int
  /// The step as the chain file has it, defaults filled in.
  public let configuration: StepConfiguration
  /// nil: plain fine-tuning.
  public let teacher: ResolvedModel?
  /// The student before training.
  public let student: ResolvedStudent
  /// Absolute.
  public let outputDirectory: String
  /// Tokens of an example that both models can take.
  public let maxLength: Int?

  /// The `step_id` of the chain file, unique in it.
  public var id: String { configuration.id }
  /// The values that this step trains with.
  public var hyperparameters: Hyperparameters { configuration.hyperparameters }
}
