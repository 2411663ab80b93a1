import Autograd
import CKernels
import Layers
import Models
import Tensors

/// KL(teacher ‖ student) of the attention probabilities, row by row.
struct AttentionKL: InnerObjective {
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

  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] {
    try layers.checkedPairs(student: student, teacher: teacher, least: 1)
  }

  func point(of layer: Int) -> PassPoint { .projections(layer) }

  func denominator(_ counts: StepCounts, student: ModelShape) -> Double {
    Double(max(1, counts.tokens * student.heads))
  }

  func loss(_ x: Variable, _ target: Tensor, _ pass: InnerPass, factor: Double, on tape: Tape) -> LossTerm {
    let comparison = AttentionComparison(
      kind: RTK_COMPARE_KL, isCausal: pass.student.isCausal, rows: .queries, columns: .keys, relationHeads: nil)
    return tape.compareAttention(x, target, [comparison], pass, factor: factor)
  }
}
