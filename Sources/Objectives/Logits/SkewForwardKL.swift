import CKernels

/// Forward KL to a mixture of the student with a share λ of the teacher, which bounds the gradient.
struct SkewForwardKL: Divergence {
  static let kind = "skew_forward_kl"
  static let formula = "T² KL(p ‖ λp + (1−λ)q)"
  static let source = "Ko et al. (2024), DistiLLM"
  static let options = [
    ObjectiveOption.temperature, ObjectiveOption("skew", .number(0...0.999, default: 0.1)),
  ]
  static let kernel = RTK_SKEW_FORWARD_KL

  let temperature: Scheduled
  /// λ.
  let parameter: Double

  init(_ options: ObjectiveOptions) {
    temperature = options.schedule("temperature")
    parameter = options.number("skew")
  }
}
