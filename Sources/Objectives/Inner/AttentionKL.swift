import CKernels
import Models

/// KL(teacher ‖ student) of the attention probabilities, row by row.
struct AttentionKL: AttentionObjective {
  static let kind = "attention_kl"
  static let formula = "mean over sequences, heads, queries of KL(teacher's row ‖ student's row)"
  static let source = "Wang et al. (2020), MiniLM"
  static let options = [ObjectiveOption.layers(), .averageLayers]

  let layers: LayerMap
  let averagesLayers: Bool

  init(_ options: ObjectiveOptions) {
    layers = options.layers
    averagesLayers = options.flag("average_layers")
  }

  func denominator(_ counts: StepCounts, student: ModelShape) -> Double {
    Double(max(1, counts.tokens * student.heads))
  }

  func comparisons(_ pass: InnerPass) -> [AttentionComparison] {
    [AttentionComparison(attention: RTK_COMPARE_KL, pass)]
  }
}
