/// The absolute difference of score and target, which outliers move less.
struct ScoreL1: TargetObjective {
  static let kind = "score_l1"
  static let formula = "&#124;s − y&#124;"
  static let source = "least absolute deviations"
  static let options: [ObjectiveOption] = []

  init(_ options: ObjectiveOptions) {}

  var loss: TargetLoss { .absolute }
}
