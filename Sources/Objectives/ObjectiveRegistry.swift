import Datasets
import Platform

/// All kinds of objectives.
package enum ObjectiveRegistry {
  /// All kinds in docs order: with the targets of the data, with a teacher's logits, then inside the model.
  package static let all: [any Objective.Type] = [
    CrossEntropy.self, ScoreMSE.self, ScoreL1.self, BinaryCrossEntropy.self, ForwardKL.self, ReverseKL.self,
    JensenShannon.self, SkewForwardKL.self, SkewReverseKL.self,
    TotalVariation.self, LogitsMSE.self, BernoulliKL.self, DecoupledKL.self, SortedL1.self, HiddenMSE.self,
    HiddenCosine.self,
    EmbeddingMSE.self, PatientMSE.self, PooledMSE.self, PooledCosine.self, SimilarityMSE.self, AttentionMSE.self,
    AttentionKL.self, RelationKL.self,
  ]

  /// The term of the classes of the data.
  package static let crossEntropy: any Objective.Type = CrossEntropy.self
  /// T²·KL(teacher ‖ student), the default divergence of a chain file for classes.
  package static let forwardKL: any Objective.Type = ForwardKL.self

  /// The objectives of a task that names none.
  package static func defaults(of task: TaskDefinition) -> (
    targets: (any Objective.Type)?, teacher: any Objective.Type
  ) {
    guard let teacher = kind(task.objectives.teacher) else {
      preconditionFailure("the objectives \(task.objectives) of a task are no kinds")
    }
    return (task.objectives.targets.flatMap(kind), teacher)
  }

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
