import CKernels

/// Reverse KL to a mixture of the teacher with a share λ of the student, which bounds the gradient.
struct SkewReverseKL: Divergence {
  static let kind = "skew_reverse_kl"
  static let formula = "T² KL(q ‖ λq + (1−λ)p)"
  static let source = "Ko et al. (2024), DistiLLM"
  static let options = [
    ObjectiveOption.temperature, ObjectiveOption("skew", .number(0...0.999, default: 0.1)),
  ]
  static let kernel = RTK_SKEW_REVERSE_KL

  let temperature: Scheduled
  /// λ.
  let parameter: Double

  init(_ options: ObjectiveOptions) {
    temperature = options.schedule("temperature")
    parameter = options.number("skew")
  }
}
