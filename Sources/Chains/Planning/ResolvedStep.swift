import Models
import Objectives
import Platform
import Tokenizers

/// The location of a model: a directory, or the output of an earlier step that may not have run yet.
public enum ModelPlace: Sendable, Equatable {
  case directory(String)
  case step(Int)
}

/// A tokenizer with its files.
public struct TokenizerFiles: Sendable {
  /// The tokenizer, loaded.
  public let tokenizer: any Tokenizer
  /// Paths of the files to copy beside a student.
  public let files: [String]
  /// The tokens before and after a text.
  let borders: TextBorders

  /// Loads the tokenizer of a model directory; nil if it has none.
  static func load(fromModelDirectory directory: String) throws -> TokenizerFiles? {
    guard let tokenizer = try loadTokenizer(fromModelDirectory: directory) else { return nil }
    let files = tokenizerFiles(inModelDirectory: directory).map { joinPath(directory, $0) }
    return TokenizerFiles(
      tokenizer: tokenizer, files: files, borders: try TextBorders(tokenizer, inModelDirectory: directory))
  }
}

/// A model that a step uses, as far as it is known before anything runs.
public struct ResolvedModel: Sendable {
  /// Its reference in the chain file.
  public let reference: String
  public let place: ModelPlace
  public let configuration: ModelConfiguration
  /// nil: the model reads token ids or numeric columns.
  public let tokenizer: TokenizerFiles?
  /// Remarks about its files, each a sentence without a full stop.
  public var remarks: [String] = []
}

/// The origin of a student's initial weights.
public enum StudentOrigin: Sendable, Equatable {
  case random
  case checkpoint(ModelPlace)
  /// Some layers, by index, of the teacher or of the model that `student_init` names.
  case layers([Int], ModelPlace)

  /// The model of the initial weights; nil if they are random.
  var place: ModelPlace? {
    switch self {
    case .random: nil
    case .checkpoint(let place), .layers(_, let place): place
    }
  }
}

/// The student of a step before training.
public struct ResolvedStudent: Sendable {
  /// Its name in messages: the chain file's reference, "FAMILY (random)" or "TEACHER layers 0,2".
  public let reference: String
  /// The origin of its initial weights.
  public let origin: StudentOrigin
  /// Family, sizes and classes; for numeric data also the names of the columns.
  public let configuration: ModelConfiguration
  /// The tokenizer that is copied beside the student; nil: it reads token ids or numeric columns.
  public let tokenizer: TokenizerFiles?
  /// Trainable weights.
  public let parameterCount: Int
  /// How the head of its initial weights is treated.
  public var head = StudentHead.fitting
  /// Remarks about its initial weights, each a sentence without a full stop.
  public var remarks: [String] = []
}

/// A teacher of a step, with its role and placement.
public struct ResolvedTeacher: Sendable {
  /// Its configuration, files and tokenizer.
  public let model: ResolvedModel
  /// Its name for objectives, and its weight.
  public let role: TeacherRole
  /// Its placement.
  public let placement: TeacherPlacementConfiguration
  /// The location of its own placement; nil if it has the chain's.
  let placementSource: SourceLocations?
}

/// A step of the chain with every reference resolved and every model's configuration read.
public struct ResolvedStep: Sendable {
  /// Its index in the chain, from 0.
  public let index: Int
  /// The step from the chain file, with defaults filled in.
  public let configuration: StepConfiguration
  /// The teachers, in the order of the chain file; empty for plain fine-tuning.
  public let teachers: [ResolvedTeacher]
  /// The student before training.
  public let student: ResolvedStudent
  /// The absolute path of the output directory.
  public let outputDirectory: String
  /// The most tokens of an example, which both models support.
  public let maxLength: Int?

  /// The `step_id` of the chain file, unique in it.
  public var id: String { configuration.id }
  /// What the chain file calls its teachers: "a, b"; nil without one.
  var teacherNames: String? {
    teachers.isEmpty ? nil : teachers.map(\.model.reference).joined(separator: ", ")
  }
  /// The first teacher, to which ratios refer; nil: plain fine-tuning.
  public var teacher: ResolvedModel? { teachers.first?.model }
  /// The values of its first training stage.
  public var hyperparameters: Hyperparameters { configuration.hyperparameters }
}
