import Datasets
import Platform

extension Preflight {
  /// What a step needs of labels against what its data has of them: the advice, with the step's name.
  ///
  /// Throws `.input` for a step that learns from labels alone where no training row has one, and `.configuration` for
  /// early stopping where no validation row has one.
  static func checkLabels(of step: ResolvedStep, _ data: SplitData) throws -> [String] {
    let source = step.configuration.source
    let weights = step.hyperparameters.weights(hasTeacher: step.teacher != nil)
    if data.validation.labelled == .none, step.hyperparameters.earlyStoppingPatience != nil {
      throw RetortError(
        .configuration, "stops where nothing gets better, and no row of the validation data has a label to tell by",
        at: source.location(of: "hyperparams.early_stopping_patience"),
        remedy: "give rows of the validation data labels, or take it out")
    }
    guard data.train.labelled == .none, weights.ce > 0 else { return [] }
    if weights.kd > 0 {
      return [
        "step \(step.id): no row of the training data has a label, so cross_entropy (weight \(weights.ce)) adds "
          + "nothing to the loss; alpha: 0 says so"
      ]
    }
    let written = ["kd_weight", "ce_weight", "alpha"].first { source.lines["hyperparams.\($0)"] != nil }
    throw RetortError(
      .input,
      "cross_entropy needs a label, no row of the training data has one, and the step "
        + (step.teacher == nil ? "has no teacher" : "has no other term (kd_weight is 0)"),
      at: source.location(of: step.teacher == nil ? "teacher" : "hyperparams.\(written ?? "alpha")"),
      remedy: "give rows labels, or "
        + (step.teacher == nil ? "the step a teacher" : "the distillation loss a weight (alpha below 1)"))
  }
}
