import Platform

/// All kinds of objectives.
package enum ObjectiveRegistry {
  /// All kinds in docs order: on logits, then inside the model.
  package static let all: [any Objective.Type] = [
    CrossEntropy.self, ForwardKL.self, ReverseKL.self, JensenShannon.self, SkewForwardKL.self, SkewReverseKL.self,
    TotalVariation.self, LogitsMSE.self, DecoupledKL.self, SortedL1.self, HiddenMSE.self, HiddenCosine.self,
    EmbeddingMSE.self, PatientMSE.self, PooledMSE.self, PooledCosine.self, AttentionMSE.self, AttentionKL.self,
    RelationKL.self,
  ]

  /// The term of the labels, the only one that reads no teacher.
  package static let crossEntropy: any Objective.Type = CrossEntropy.self
  /// T²·KL(teacher ‖ student), the default divergence of a chain file.
  package static let forwardKL: any Objective.Type = ForwardKL.self

  /// The kind with this name; nil for an unknown name.
  package static func kind(_ name: String) -> (any Objective.Type)? { all.first { $0.kind == name } }

  /// The names of all kinds.
  package static var names: [String] { all.map { $0.kind } }

  /// The table of docs/objectives.md, in Markdown: kind, formula, options, source.
  package static var table: String {
    let rows = all.map { kind in
      let options = kind.options.map(\.text).joined(separator: "; ")
      return "| `\(kind.kind)` | \(kind.formula) | \(options) | \(kind.source) |"
    }
    return (["| kind | term | options | source |", "|---|---|---|---|"] + rows).joined(separator: "\n")
  }
}
