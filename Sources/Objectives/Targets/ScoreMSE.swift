/// The squared difference of score and target.
struct ScoreMSE: TargetObjective {
  static let kind = "score_mse"
  static let formula = "(s − y)²"
  static let source = "least squares"
  static let options: [ObjectiveOption] = []

  init(_ options: ObjectiveOptions) {}

  var loss: TargetLoss { .squared }
}
