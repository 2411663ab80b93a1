import Datasets
import Objectives
import Platform

extension Preflight {
  /// Compares the labels that a step needs with those in its data; returns advice with the step's name.
  ///
  /// Throws `.input` for a step that learns only from labels if no training row has one, and `.configuration` for early
  /// stopping if no validation row has one.
  static func checkLabels(of step: ResolvedStep, _ data: SplitData) throws -> [String] {
    let source = step.configuration.source
    if data.validation.labelled == .none,
      step.configuration.stages.contains(where: { $0.hyperparameters.earlyStoppingPatience != nil })
    {
      throw RetortError(
        .configuration, "stops where nothing gets better, and no row of the validation data has a label to tell by",
        at: source.location(of: "hyperparams.early_stopping_patience"),
        remedy: "give rows of the validation data labels, or take it out")
    }
    if data.train.kind.definition.targetsAreOptional {
      return data.validation.labelled == .none
        ? [
          "step \(step.id): no pair of the validation data has a score, so nothing tells the best student: it is the "
            + "one after the last step"
        ] : []
    }
    if data.train.labelled == .all { return [] }
    try refuseUnlabelled(step, data.train.labelled)
    guard data.train.labelled == .none else { return [] }
    let task = data.train.kind.definition
    let target = task.hasLabels ? "label" : "score"
    return try step.configuration.stages.compactMap { stage in
      let list = stage.hyperparameters.objectives
      let (terms, isShort) = (list.terms, list.locations.isEmpty && list.preset == nil)
      let soft = step.teachers.isEmpty ? [] : terms.filter { !$0.readsTargets && $0.weight != Scheduled(0) }
      let hard = terms.filter { $0.readsTargets && $0.weight != Scheduled(0) }
      if !soft.isEmpty {
        return hard.first.map {
          "step \(step.id): no row of the training data has a \(target), so \($0.kind) (weight \($0.weight.from)) adds "
            + "nothing to the loss; \(isShort ? "alpha: 0 says so" : "leave it out")"
        }
      }
      let needing = hard.first?.kind ?? task.objectives.targets ?? "the loss"
      throw RetortError(
        .input,
        "\(needing) needs a \(target), no row of the training data has one, and the step "
          + (step.teachers.isEmpty ? "has no teacher" : "has no other term\(isShort ? " (kd_weight is 0)" : "")"),
        at: step.teachers.isEmpty
          ? source.location(of: "teacher") : list.source ?? source.location(of: "hyperparams"),
        remedy: "give rows \(target)s, or "
          + (step.teachers.isEmpty
            ? "the step a teacher"
            : isShort ? "the distillation loss a weight (alpha below 1)" : "add an objective that reads the teacher"))
    }
  }

  /// Refuses objectives and combinations that read the label of every row if rows have none.
  private static func refuseUnlabelled(_ step: ResolvedStep, _ labelled: LabelCoverage) throws {
    let which = labelled == .none ? "no row of the training data has one" : "rows of the training data have none"
    for stage in step.configuration.stages {
      let list = stage.hyperparameters.objectives
      for (index, term) in list.terms.enumerated() {
        guard let objective = term.objective as? any LogitsObjective, type(of: objective).needsLabels else { continue }
        throw RetortError(
          .input, "\(term.kind) needs the label of every row, and \(which)",
          at: list.location(of: index) ?? list.source ?? step.configuration.source.location(of: "hyperparams"),
          remedy: "use forward_kl, which needs no labels, or give rows labels")
      }
    }
    if step.teachers.count > 1, step.configuration.combine == .confidence {
      throw RetortError(
        .input, "is confidence, which is the teachers' probability of the label, and \(which)",
        at: step.configuration.source.location(of: "combine"),
        remedy: "use combine: logits, probabilities or sum, or give rows labels")
    }
  }
}
