import Collectives
import Datasets
import Platform
import Teachers
import Training

extension ChainRunner {
  /// Evaluates the teachers that exist before the chain starts, and refuses those at chance level. Collective.
  package func checkTeachers() throws {
    for step in plan.steps {
      for (place, teacher) in step.teachers.enumerated() {
        guard case .directory = teacher.model.place, canCheck(step, place) else { continue }
        try Trace.span("check teacher") { try check(teacher, place, of: step) }
      }
    }
  }

  private func check(_ teacher: ResolvedTeacher, _ place: Int, of step: ResolvedStep) throws {
    let digest = try self.digest(of: teacher.model.place)
    // Ranks that only teach have no evaluation result, so they receive the refusal.
    if try communicator.broadcast(evaluated[digest] == nil ? 0 : 1) == 1 {
      return try communicator.share(judgement(of: digest, step, place))
    }
    _ = try withTeachers(of: step, [digest], only: place, quietly: true) { teachers, students in
      for teacher in teachers { try self.check(digest, step, place, teacher, on: students) }
    }
  }

  /// Evaluates a teacher once on the validation split and refuses it at chance level; collective over the training
  /// ranks.
  func check(
    _ digest: String, _ step: ResolvedStep, _ place: Int, _ teacher: any Teacher, on students: any Communicator
  ) throws {
    guard canCheck(step, place) else { return }
    let data = plan.data[step.index].teachers[place]
    if evaluated[digest] == nil {
      let result = try evaluate(teacher, data.validation, on: students)
      evaluated[digest] = (result, teacher.classCount)
      observer.note("teacher \(teacher.name) on the validation split: \(result.text)")
    }
    if let refusal = judgement(of: digest, step, place) { throw refusal }
  }

  /// Whether the validation split has labels to evaluate a step's teacher; without labels it reports this once per
  /// step.
  private func canCheck(_ step: ResolvedStep, _ place: Int) -> Bool {
    guard plan.data[step.index].teachers[place].validation.labelled == .none else { return true }
    if warned.insert(step.index).inserted {
      observer.note(
        "step \(step.id): the teacher \(step.teachers[place].model.reference) is not checked: no row of the validation "
          + "data has a label")
    }
    return false
  }

  private func evaluate(_ teacher: any Teacher, _ data: any ExampleSource, on students: any Communicator) throws
    -> EvaluationResult
  {
    // All ranks of a collective teacher answer together, so idle ranks call it without examples.
    let stop = "while the teacher \(teacher.name) was evaluated"
    let idle = { if teacher.isCollective { _ = try teacher.logits(for: [], in: .validation) } }
    guard data.kind.definition.rows == .nextTokens else {
      return try Evaluator.evaluate(
        data, names: plan.labels.names, threshold: plan.chain.metadata.task.threshold, stop: stop, on: students
      ) {
        try teacher.logits(for: $0, in: .validation).materialized
      } idle: {
        try idle()
      }
    }
    return try Evaluator.evaluate(documents: data, stop: stop, on: students) {
      let labels = data.batch($0).rowLabels
      return try teacher.logits(for: $0, in: .validation).crossEntropySum(labels: labels)
    } idle: {
      try idle()
    }
  }

  /// The refusal of an evaluated teacher, or nil; at chance level only a warning, once per step, if the chain file
  /// allows an untrained teacher.
  private func judgement(of digest: String, _ step: ResolvedStep, _ place: Int) -> RetortError? {
    guard let (result, classCount) = evaluated[digest] else { return nil }
    let name = step.teachers[place].model.reference
    if !result.loss.isFinite {
      return refusal(
        .input, step,
        "the teacher \(name) says what is not a number on the validation split: loss \(result.loss)",
        remedy: "fetch its weights again, they may be damaged; in bf16 try precision: fp32")
    }
    if Preflight.hasLearnt(result, classCount: classCount) { return nil }
    let how = Preflight.chanceText(result, classCount: classCount)
    let what = "the teacher \(name) is at chance level on the validation split: \(how)"
    if step.configuration.allowUntrainedTeacher {
      if warned.insert(step.index).inserted {
        observer.warning("step \(step.id): \(what); allow_untrained_teacher lets it teach all the same")
      }
      return nil
    }
    return refusal(
      .preflight, step, what,
      remedy: "train the teacher first (a step with teacher: null), or set allow_untrained_teacher: true")
  }

  /// A refusal marked collective: all training ranks have the same evaluation, and so the same refusal.
  private func refusal(_ kind: RetortError.Kind, _ step: ResolvedStep, _ what: String, remedy: String) -> RetortError {
    var error = RetortError(kind, what, at: step.configuration.source.location(of: "teacher"), remedy: remedy)
    error.isCollective = true
    return error
  }
}
