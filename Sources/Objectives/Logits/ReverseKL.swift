import CKernels

/// T²·KL(q ‖ p): mode-seeking, so the student stays within the classes to which the teacher gives probability.
struct ReverseKL: Divergence {
  static let kind = "reverse_kl"
  static let formula = "T² Σ q (log q − log p)"
  static let source = "Gu et al. (2024), MiniLLM"
  static let options = [ObjectiveOption.temperature]
  static let kernel = RTK_REVERSE_KL

  let temperature: Scheduled

  init(_ options: ObjectiveOptions) { temperature = options.schedule("temperature") }
}
