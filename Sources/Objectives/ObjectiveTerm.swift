import Platform

/// An objective of a step with its weight: one item of `hyperparams.objectives`.
public struct ObjectiveTerm: Sendable, Equatable {
  /// The kind of the objective.
  public let kind: String
  /// What metrics.jsonl calls it: unique among the terms of a step.
  public var name: String
  /// What its mean is multiplied with in the loss, over the optimizer steps.
  public var weight: Scheduled
  /// The name of the teacher that it reads; nil: all of them on logits, the first one inside the model.
  public var teacher: String?
  /// The options of the kind, defaults filled in.
  public private(set) var options: ObjectiveOptions

  /// A term; throws nothing, since a kind that does not exist is refused where it is read.
  public init(
    _ kind: any Objective.Type, name: String? = nil, weight: Scheduled = Scheduled(1), teacher: String? = nil,
    _ options: [String: OptionValue] = [:]
  ) {
    self.kind = kind.kind
    self.name = name ?? kind.kind
    self.weight = weight
    self.teacher = teacher
    self.options = ObjectiveOptions(options, of: kind.options)
  }

  /// Whether it is the term of the labels.
  public var isCrossEntropy: Bool { kind == CrossEntropy.kind }

  /// The same term with another value of an option of its kind.
  public func setting(_ option: String, _ value: OptionValue) -> ObjectiveTerm {
    var term = self
    term.options = options.setting(option, value)
    return term
  }

  /// The objective with its options.
  public var objective: any Objective {
    guard let kind = ObjectiveRegistry.kind(kind) else { preconditionFailure("there is no objective \(kind)") }
    return kind.init(options)
  }

  /// Every value, by the names of the chain file.
  public var json: JSON {
    var members = options.json
    members["kind"] = .string(kind)
    members["name"] = .string(name)
    members["weight"] = weight.json
    if let teacher { members["teacher"] = .string(teacher) }
    return .object(members)
  }

  /// The same terms with unique names: a second one of a name is NAME_2.
  public static func named(_ terms: [ObjectiveTerm]) -> [ObjectiveTerm] {
    var seen: [String: Int] = [:]
    return terms.map { term in
      var term = term
      seen[term.name, default: 0] += 1
      if let count = seen[term.name], count > 1 { term.name += "_\(count)" }
      return term
    }
  }
}

/// How a term on logits uses several teachers with weights w_i that add up to 1.
public enum TeacherCombination: String, Sendable, CaseIterable {
  /// The student is compared with Σ w_i t_i.
  case logits
  /// With the mean Σ w_i softmax(t_i / T) of the teachers' probabilities.
  case probabilities
  /// The term is Σ w_i · (the term of teacher i).
  case sum
  /// The same with weights of each row that are proportional to w_i · softmax(t_i)[label] (Zhang et al., 2022).
  case confidence
}

/// A teacher of a step, as objectives see it.
public struct TeacherRole: Sendable, Equatable {
  /// What objectives call it.
  public var name: String
  /// Its weight among the teachers; above 0, not yet brought to a sum of 1.
  public var weight: Double

  /// A teacher with its weight.
  public init(_ name: String, weight: Double = 1) {
    self.name = name
    self.weight = weight
  }
}
