import CKernels
import Models

/// The mean squared difference of attention probabilities, or of attention scores before softmax.
struct AttentionMSE: AttentionObjective {
  static let kind = "attention_mse"
  static let formula =
    "mean over sequences, heads, queries, keys of (A_s − A_t)²; A: probabilities before dropout, or scores q·k/√d"
  static let source = "Jiao et al. (2020), TinyBERT"
  static let options = [
    ObjectiveOption("of", .word(["probabilities", "scores"], default: "probabilities")), .layers(), .averageLayers,
  ]

  let layers: LayerMap
  let isOfScores: Bool
  let averagesLayers: Bool

  init(_ options: ObjectiveOptions) {
    layers = options.layers
    isOfScores = options.word("of") == "scores"
    averagesLayers = options.flag("average_layers")
  }

  /// Its mean is over all pairs of tokens, which a window leaves out.
  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] {
    let pairs = try layers.checkedPairs(student: student, teacher: teacher, least: 1)
    try requireProducts(student, teacher)
    for pair in pairs {
      for (shape, layer, whose) in [(student, pair.student, "student"), (teacher, pair.teacher, "teacher")] {
        guard let reach = shape.reach(ofLayer: layer) else { continue }
        throw ObjectiveRefusal(
          key: "layers",
          what: "names layer \(layer) of the \(whose), whose tokens attend to tokens at most \(reach) away only",
          remedy: "name layers with full attention, or use attention_kl")
      }
    }
    return pairs
  }

  /// The query-key pairs that attention allows, times the student's heads.
  func denominator(_ counts: StepCounts, student: ModelShape) -> Double {
    Double(max(1, counts.pairs * student.heads))
  }

  func comparisons(_ pass: InnerPass) -> [AttentionComparison] {
    [AttentionComparison(attention: isOfScores ? RTK_COMPARE_SCORES : RTK_COMPARE_PROBABILITIES, pass)]
  }
}
