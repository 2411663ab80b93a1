import CKernels

/// Half the L1 distance of the probabilities.
struct TotalVariation: Divergence {
  static let kind = "total_variation"
  static let formula = "T · ½ Σ &#124;p − q&#124;"
  static let source = "Wen et al. (2023), f-DISTILL"
  static let options = [ObjectiveOption.temperature]
  static let kernel = RTK_TOTAL_VARIATION
  static let power = 1

  let temperature: Scheduled

  init(_ options: ObjectiveOptions) { temperature = options.schedule("temperature") }
}
