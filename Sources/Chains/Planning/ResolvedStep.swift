import Models
import Objectives
import Platform
import Tokenizers

/// The location of a model: a directory, or the output of an earlier step that may not have run yet.
package enum ModelPlace: Sendable, Equatable {
  case directory(String)
  case step(Int)
}

/// A tokenizer with its files.
package struct TokenizerFiles: Sendable {
  /// The tokenizer, loaded.
  package let tokenizer: any Tokenizer
  /// Paths of the files to copy beside a student.
  package let files: [String]
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
package struct ResolvedModel: Sendable {
  /// Its reference in the chain file.
  package let reference: String
  package let place: ModelPlace
  package let configuration: ModelConfiguration
  /// nil: the model reads token ids or numeric columns.
  package let tokenizer: TokenizerFiles?
  /// Remarks about its files, each a sentence without a full stop.
  package var remarks: [String] = []
}

/// The origin of a student's initial weights.
package enum StudentOrigin: Sendable, Equatable {
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
package struct ResolvedStudent: Sendable {
  /// Its name in messages: the chain file's reference, "FAMILY (random)" or "TEACHER layers 0,2".
  package let reference: String
  /// The origin of its initial weights.
  package let origin: StudentOrigin
  /// Family, sizes and classes; for numeric data also the names of the columns.
  package let configuration: ModelConfiguration
  /// The tokenizer that is copied beside the student; nil: it reads token ids or numeric columns.
  package let tokenizer: TokenizerFiles?
  /// Trainable weights.
  package let parameterCount: Int
  /// How the head of its initial weights is treated.
  package var head = StudentHead.fitting
  /// Remarks about its initial weights, each a sentence without a full stop.
  package var remarks: [String] = []
}

/// A teacher of a step, with its role and placement.
package struct ResolvedTeacher: Sendable {
  /// Its configuration, files and tokenizer.
  package let model: ResolvedModel
  /// Its name for objectives, and its weight.
  package let role: TeacherRole
  /// Its placement.
  package let placement: TeacherPlacementConfiguration
  /// The location of its own placement; nil if it has the chain's.
  let placementSource: SourceLocations?
}

extension ResolvedTeacher {
  /// The student of the step before as a teacher, with the chain's placement.
  init(previous model: ResolvedModel, _ parallel: ParallelConfiguration) {
    self.init(
      model: model, role: TeacherRole(model.reference), placement: parallel.teacherPlacement, placementSource: nil)
  }

  /// A teacher that the chain file names; one without its own placement has the chain's.
  init(_ entry: TeacherEntry, _ model: ResolvedModel, _ parallel: ParallelConfiguration) {
    self.init(
      model: model, role: TeacherRole(entry.name ?? entry.reference, weight: entry.weight),
      placement: entry.placement ?? parallel.teacherPlacement, placementSource: entry.placementSource)
  }

  /// The same teacher with another placement.
  func placed(_ placement: TeacherPlacementConfiguration) -> ResolvedTeacher {
    ResolvedTeacher(model: model, role: role, placement: placement, placementSource: placementSource)
  }
}

/// A step of the chain with every reference resolved and every model's configuration read.
package struct ResolvedStep: Sendable {
  /// Its index in the chain, from 0.
  package let index: Int
  /// The step from the chain file, with defaults filled in.
  package let configuration: StepConfiguration
  /// The teachers, in the order of the chain file; empty for plain fine-tuning.
  package let teachers: [ResolvedTeacher]
  /// The student before training.
  package let student: ResolvedStudent
  /// The absolute path of the output directory.
  package let outputDirectory: String
  /// The most tokens of an example, which both models support.
  package let maxLength: Int?

  /// The same step with other teachers.
  func taught(by teachers: [ResolvedTeacher]) -> ResolvedStep {
    ResolvedStep(
      index: index, configuration: configuration, teachers: teachers, student: student,
      outputDirectory: outputDirectory, maxLength: maxLength)
  }

  /// The rows of the models' token embeddings, and of a language model's head: those of the student, then of each
  /// teacher; without models that read no tokens.
  var vocabularies: [Int] {
    ([student.configuration] + teachers.map(\.model.configuration)).compactMap(\.vocabularySize)
  }

  /// With `shared_vocabulary` the tokens that all models of the step and their tokenizer have: the smallest of these
  /// numbers.
  var sharedTokens: Int? {
    guard configuration.sharesVocabulary else { return nil }
    let tokenizers = [student.tokenizer] + teachers.map(\.model.tokenizer)
    return (vocabularies + tokenizers.compactMap { $0?.tokenizer.vocabularySize }).min()
  }

  /// The `step_id` of the chain file, unique in it.
  package var id: String { configuration.id }
  /// What the chain file calls its teachers: "a, b"; nil without one.
  var teacherNames: String? {
    teachers.isEmpty ? nil : teachers.map(\.model.reference).joined(separator: ", ")
  }
  /// The first teacher, to which ratios refer; nil: plain fine-tuning.
  package var teacher: ResolvedModel? { teachers.first?.model }
  /// The values of its first training stage.
  package var hyperparameters: Hyperparameters { configuration.hyperparameters }
}
