import Autograd
import Datasets
import Models
import Objectives

/// One of the training stages of a chain step: they follow each other on one student, each with its own objective,
/// schedule and moments.
public struct TrainingStage {
  /// What the chain file calls it; nil where the step has one stage alone.
  public let name: String?
  /// Every value that decides what its optimizer steps compute.
  public let configuration: TrainingConfiguration
  /// The terms of its objective inside the models, with the projections that they train.
  let inner: [InnerTerm]
  /// What it reads of each teacher.
  let needs: [SignalNeeds]

  /// A stage for a student and its teachers.
  ///
  /// - Parameters:
  ///   - student: the sizes of the student; nil where it has no layers.
  ///   - teachers: of each teacher; nil where its inner values do not reach this rank.
  /// Throws `TermRefusal` for a term that cannot compare them.
  public init(
    _ configuration: TrainingConfiguration, name: String? = nil, student: ModelShape?, teachers: [ModelShape?]
  ) throws {
    self.name = name
    self.configuration = configuration
    inner = try configuration.objective.innerTerms(
      student: student, teachers: teachers, stage: name, seed: configuration.seed)
    needs = configuration.objective.needs(inner)
  }

  /// A stage whose objective has terms on logits alone.
  init(onLogits configuration: TrainingConfiguration) {
    name = nil
    self.configuration = configuration
    inner = []
    needs = configuration.objective.needs([])
  }

}

extension DistillationObjective {
  /// Throws `TermRefusal` for a term inside the models that cannot compare a student and teachers of these sizes.
  public func requireComparable(student: ModelShape?, teachers: [ModelShape?]) throws {
    _ = try innerTerms(student: student, teachers: teachers)
  }
}

extension Model {
  /// The weights of the model and of projections that are trained with it, by blocks: each projection is in the block
  /// that makes what it reads.
  func blocks(with projections: [(block: Int, parameters: [Parameter])]) -> [[Parameter]] {
    var blocks = blocks
    for (block, parameters) in projections {
      blocks[block] += parameters.filter { parameter in !blocks[block].contains { $0 === parameter } }
    }
    return blocks
  }
}

extension [[Parameter]] {
  /// Each parameter once, where it comes first.
  var unique: [Parameter] {
    var seen: Set<ObjectIdentifier> = []
    return joined().filter { seen.insert(ObjectIdentifier($0)).inserted }
  }
}
