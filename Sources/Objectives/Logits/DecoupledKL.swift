/// Forward KL in two separately weighted parts: the label against all other classes, and the distribution among the
/// others.
struct DecoupledKL: LogitsObjective {
  static let kind = "decoupled_kl"
  static let formula = "T² (a · KL of target/rest + b · KL inside the rest)"
  static let source = "Zhao et al. (2022), DKD"
  static let options = [
    ObjectiveOption.temperature, ObjectiveOption("target_weight", .number(0...1e6, default: 1)),
    ObjectiveOption("rest_weight", .number(0...1e6, default: 2)),
  ]
  static let needsLabels = true

  let temperature: Scheduled
  let comparison: RowComparisonKind

  init(_ options: ObjectiveOptions) {
    temperature = options.schedule("temperature")
    comparison = .teacher(.decoupledKL(target: options.number("target_weight"), rest: options.number("rest_weight")))
  }

  static func refusal(_ options: ObjectiveOptions) -> ObjectiveRefusal? {
    guard options.number("target_weight") == 0, options.number("rest_weight") == 0 else { return nil }
    return ObjectiveRefusal(
      key: "target_weight", what: "and rest_weight are both 0, so that nothing is learned", remedy: "raise one of them")
  }
}
