import Autograd
import Datasets
import Models
import Objectives

/// One of the consecutive training stages of a chain step, which train one student; each has its own objective,
/// schedule and moments.
package struct TrainingStage {
  /// The name in the chain file; nil for a step with a single stage.
  package let name: String?
  /// Every value that determines what its optimizer steps compute.
  package let configuration: TrainingConfiguration
  /// The inner terms of its objective, with the projections that they train.
  let inner: [InnerTerm]
  /// The values that the stage reads of each teacher.
  let needs: [SignalNeeds]

  /// Creates a stage for a student and its teachers.
  ///
  /// - Parameters:
  ///   - index: its place among the stages, from 0.
  ///   - student: the student's sizes; nil for a student without layers.
  ///   - teachers: one per teacher; nil for a teacher whose inner values do not reach this rank.
  /// Throws `TermRefusal` for a term that cannot compare these models.
  package init(
    _ configuration: TrainingConfiguration, name: String? = nil, index: Int = 0, student: ModelShape?,
    teachers: [ModelShape?]
  ) throws {
    self.name = name
    self.configuration = configuration
    inner = try configuration.objective.innerTerms(
      student: student, teachers: teachers, stage: name == nil ? nil : "stage_\(index + 1)", seed: configuration.seed)
    needs = configuration.objective.needs(inner)
  }

  /// Creates a stage whose objective has terms on logits only.
  init(onLogits configuration: TrainingConfiguration) {
    name = nil
    self.configuration = configuration
    inner = []
    needs = configuration.objective.needs([])
  }

}

extension DistillationObjective {
  /// Throws `TermRefusal` for an inner term that cannot compare a student and teachers of these sizes.
  package func requireComparable(student: ModelShape?, teachers: [ModelShape?]) throws {
    _ = try innerTerms(student: student, teachers: teachers)
  }
}

extension Model {
  /// The weights of the model and of the projections trained with it, by block; each projection is in the block that
  /// computes its input.
  func blocks(with projections: [(block: Int, parameters: [Parameter])]) -> [[Parameter]] {
    var blocks = blocks
    for (block, parameters) in projections {
      blocks[block] += parameters.filter { parameter in !blocks[block].contains { $0 === parameter } }
    }
    return blocks
  }
}

extension [[Parameter]] {
  /// Each parameter once, in order of first occurrence.
  var unique: [Parameter] {
    var seen: Set<ObjectIdentifier> = []
    return joined().filter { seen.insert(ObjectIdentifier($0)).inserted }
  }
}
