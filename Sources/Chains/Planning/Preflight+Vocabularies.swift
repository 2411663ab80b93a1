import Models
import Platform

extension Preflight {
  /// Checks that an id is the same token for a language model's teachers and student, since their logits are compared
  /// one by one.
  static func checkVocabularies(_ step: ResolvedStep) throws {
    for teacher in step.teachers { try checkVocabulary(step, teacher) }
  }

  private static func checkVocabulary(_ step: ResolvedStep, _ teacher: ResolvedTeacher) throws {
    let (model, student) = (teacher.model, step.student)
    let location = step.configuration.source.location(of: "teacher")
    let (theirs, ours) = (model.tokenizer?.tokenizer, student.tokenizer?.tokenizer)
    if let theirs, let ours, theirs.digest != ours.digest {
      throw RetortError(
        .preflight,
        "the teacher \(model.reference) and the student \(student.reference) have different tokenizers "
          + "(\(theirs.vocabularySize) and \(ours.vocabularySize) tokens): their logits cannot be compared",
        at: location, remedy: "use a teacher and a student with the same tokenizer")
    }
    let (their, own) = (model.configuration.vocabularySize ?? 0, student.configuration.vocabularySize ?? 0)
    if their == own || step.configuration.sharesVocabulary || !step.comparesClasses(with: teacher) { return }
    let tokens = (theirs ?? ours)?.vocabularySize
    throw RetortError(
      .preflight,
      "the teacher \(model.reference) has a vocabulary of \(their) tokens, the student \(student.reference) one of "
        + "\(own)\(tokens.map { ", and their tokenizer has \($0)" } ?? ""): their logits cannot be compared",
      at: location,
      remedy: "if the vocabularies are padded, shared_vocabulary: true in the step compares the first "
        + "\(min(their, own, tokens ?? own)) alone; otherwise use a teacher and a student with the same tokenizer and "
        + "vocab_size, such as a student_base of sizes without vocab_size and tokenizer, which takes the teacher's; "
        + "sorted_l1 compares vocabularies of different sizes")
  }

  /// Throws for `shared_vocabulary` in a step without language models.
  static func checkSharing(of step: ResolvedStep, isLanguage: Bool) throws {
    guard step.configuration.sharesVocabulary, !isLanguage else { return }
    throw RetortError(
      .configuration, "is true, and only language models have logits of a vocabulary",
      at: step.configuration.source.location(of: "shared_vocabulary"), remedy: "leave it out")
  }
}
