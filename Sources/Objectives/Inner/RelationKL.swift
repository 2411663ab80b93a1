import CKernels
import Models

/// KL divergence of relations between tokens: queries with queries, keys with keys, values with values.
///
/// The vectors of all heads of a token are concatenated and split into R relation heads, so head counts and widths of
/// the two models may differ.
struct RelationKL: AttentionObjective {
  static let kind = "relation_kl"
  static let formula =
    "for each of Q, K, V: mean over sequences, relation heads, rows of KL of softmax(x xᵀ/√d_r); the three summed"
  static let source = "Wang et al. (2021), MiniLMv2"
  static let options = [
    ObjectiveOption("relation_heads", .count), .layers(default: .last), .averageLayers,
  ]

  let layers: LayerMap
  let relationHeads: Int?
  let averagesLayers: Bool

  init(_ options: ObjectiveOptions) {
    layers = options.layers
    relationHeads = options.count("relation_heads")
    averagesLayers = options.flag("average_layers")
  }

  /// R: the option's value, by default the student's number of heads.
  func heads(_ student: ModelShape) -> Int { relationHeads ?? student.heads }

  func pairs(student: ModelShape, teacher: ModelShape) throws -> [LayerPair] {
    let heads = heads(student)
    for (shape, whose) in [(student, "student"), (teacher, "teacher")] {
      for vectors in [TokenVectors.queries, .keys] where vectors.width(shape) % heads != 0 {
        let width = vectors.width(shape)
        throw ObjectiveRefusal(
          key: "relation_heads",
          what: "is \(heads), which does not divide the \(width) numbers of a token's "
            + "\(vectors == .queries ? "queries" : "keys and values") in the \(whose)",
          remedy: "use a number that divides the widths of both models")
      }
    }
    return try layers.checkedPairs(student: student, teacher: teacher, least: 1)
  }

  func denominator(_ counts: StepCounts, student: ModelShape) -> Double {
    Double(max(1, counts.tokens * heads(student)))
  }

  func comparisons(_ pass: InnerPass) -> [AttentionComparison] {
    [.queries, .keys, .values].map {
      AttentionComparison(relationOf: $0, heads: heads(pass.student), pass)
    }
  }
}
