import CKernels

/// The generalised Jensen-Shannon divergence, between forward KL (β → 0) and reverse KL (β → 1).
struct JensenShannon: Divergence {
  static let kind = "jensen_shannon"
  static let formula = "T² (β KL(p‖m) + (1−β) KL(q‖m)), m = βp + (1−β)q"
  static let source = "Agarwal et al. (2024), GKD"
  static let options = [
    ObjectiveOption.temperature, ObjectiveOption("beta", .number(0.001...0.999, default: 0.5)),
  ]
  static let kernel = RTK_JENSEN_SHANNON

  let temperature: Scheduled
  /// β.
  let parameter: Double

  init(_ options: ObjectiveOptions) {
    temperature = options.schedule("temperature")
    parameter = options.number("beta")
  }
}
