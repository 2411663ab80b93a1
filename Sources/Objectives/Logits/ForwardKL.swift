import CKernels

/// T²·KL(p ‖ q): mode-covering, so the student gives probability to every class that the teacher does.
struct ForwardKL: Divergence {
  static let kind = "forward_kl"
  static let formula = "T² Σ p (log p − log q)"
  static let source = "Hinton et al. (2015)"
  static let options = [ObjectiveOption.temperature]
  static let kernel = RTK_FORWARD_KL

  let temperature: Scheduled

  init(_ options: ObjectiveOptions) { temperature = options.schedule("temperature") }
}
