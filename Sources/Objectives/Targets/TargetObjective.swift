import Datasets

/// An objective that compares outputs with the targets of the data, and reads no teacher.
protocol TargetObjective: LogitsObjective {
  var loss: TargetLoss { get }
}

extension TargetObjective {
  package static var readsTeacher: Bool { false }
  package static var allowsTopK: Bool { true }
  package static var allowsOtherClasses: Bool { true }
  package static var outputs: Set<TaskDefinition.Output> { [Self(ObjectiveOptions([:], of: options)).loss.output] }
  package var temperature: Scheduled { Scheduled(1) }
  package var comparison: RowComparisonKind { .targets(loss) }
}
