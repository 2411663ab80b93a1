import Platform

/// An objective of a step with its weight: one item of `hyperparams.objectives`.
package struct ObjectiveTerm: Sendable, Equatable {
  /// The kind of the objective.
  package let kind: String
  /// The term's key in metrics.jsonl, unique among the terms of a step.
  package var name: String
  /// The factor of the term's mean in the loss, over the optimizer steps.
  package var weight: Scheduled
  /// The name of the teacher that the term reads; nil means all teachers on logits, the first one inside the model.
  package var teacher: String?
  /// The options of the kind, including defaults.
  package private(set) var options: ObjectiveOptions

  /// Creates a term of a kind with these options.
  package init(
    _ kind: any Objective.Type, name: String? = nil, weight: Scheduled = Scheduled(1), teacher: String? = nil,
    _ options: [String: OptionValue] = [:]
  ) {
    self.kind = kind.kind
    self.name = name ?? kind.kind
    self.weight = weight
    self.teacher = teacher
    self.options = ObjectiveOptions(options, of: kind.options)
  }

  /// Whether the term compares with the targets of the data and reads no teacher.
  package var readsTargets: Bool {
    (ObjectiveRegistry.kind(kind) as? any LogitsObjective.Type).map { !$0.readsTeacher } ?? false
  }

  /// The same term with one option changed.
  package func setting(_ option: String, _ value: OptionValue) -> ObjectiveTerm {
    var term = self
    term.options = options.setting(option, value)
    return term
  }

  /// The objective with its options.
  package var objective: any Objective {
    guard let kind = ObjectiveRegistry.kind(kind) else { preconditionFailure("there is no objective \(kind)") }
    return kind.init(options)
  }

  /// Every value under its chain file key.
  package var json: JSON {
    var members = options.json
    members["kind"] = .string(kind)
    members["name"] = .string(name)
    members["weight"] = weight.json
    if let teacher { members["teacher"] = .string(teacher) }
    return .object(members)
  }

  /// The terms with unique names: the second term named NAME becomes NAME_2.
  package static func named(_ terms: [ObjectiveTerm]) -> [ObjectiveTerm] {
    zip(terms, uniqueNames(terms.map(\.name))).map { term, name in
      var term = term
      term.name = name
      return term
    }
  }

  /// The names, where the second NAME becomes NAME_2.
  package static func uniqueNames(_ names: [String]) -> [String] {
    var seen: [String: Int] = [:]
    return names.map { name in
      seen[name, default: 0] += 1
      return seen[name].map { $0 > 1 ? "\(name)_\($0)" : name } ?? name
    }
  }
}

/// How a term on logits combines several teachers with weights w_i that sum to 1.
package enum TeacherCombination: String, Sendable, CaseIterable {
  /// Compares the student with Σ w_i t_i.
  case logits
  /// Compares the student with the mean Σ w_i softmax(t_i / T) of the teachers' probabilities.
  case probabilities
  /// Computes Σ w_i · (the term of teacher i).
  case sum
  /// As `sum`, with per-row weights proportional to w_i · softmax(t_i)[label] (Zhang et al., 2022).
  case confidence
}

/// A teacher's name and weight among the teachers of a step.
package struct TeacherRole: Sendable, Equatable {
  /// The name that objectives refer to.
  package var name: String
  /// The weight among the teachers; above 0, not normalised.
  package var weight: Double

  /// Creates a teacher with a weight.
  package init(_ name: String, weight: Double = 1) {
    self.name = name
    self.weight = weight
  }
}
