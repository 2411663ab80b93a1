import Objectives
import Platform

/// The differences between the training values of two records of inputs, stage by stage.
struct ValueComparison {
  /// A phrase for each difference: "learning_rate 0.001 → 0.002",
  /// "stages.1.objectives.0.kind forward_kl → reverse_kl".
  let reasons: [String]

  init(_ old: JSON, _ new: JSON, _ teachers: TeacherMatching) {
    let (before, after) = (ValueComparison.stages(of: old), ValueComparison.stages(of: new))
    func deciding(_ stages: [JSON]) -> [JSON] {
      StepManifest.deciding(["values": .array(stages)])["values"]?.array ?? []
    }
    let pairs = Alignment(deciding(before), deciding(after)).pairs
    let hasStages = before.count > 1 || after.count > 1
    var found: [(stage: Int?, phrases: [String])] = []
    for pair in pairs {
      guard let first = pair.old, let second = pair.new else {
        let change = InputDifference(
          path: "", old: pair.old.map { ValueComparison.title(of: before[$0]) },
          new: pair.new.map { ValueComparison.title(of: after[$0]) })
        found.append((nil, [change.change("stages.\(pair.new ?? pair.old ?? 0)")]))
        continue
      }
      found.append((second, StageComparison(before[first], after[second], teachers).phrases))
    }
    // What changed in every stage alike is a value of the step.
    let stages = found.filter { $0.stage != nil }.map(\.phrases)
    let common =
      hasStages && stages.count == after.count && before.count == after.count
      ? (stages.first ?? []).filter { phrase in stages.allSatisfy { $0.contains(phrase) } } : []
    reasons =
      common
      + found.flatMap { stage, phrases in
        phrases.filter { !common.contains($0) }.map { hasStages && stage != nil ? "stages.\(stage ?? 0).\($0)" : $0 }
      }
  }

  /// The values of the stages; a step with one stage has a single object.
  private static func stages(of inputs: JSON) -> [JSON] {
    inputs["values"].map { $0.array ?? [$0] } ?? []
  }

  private static func title(of stage: JSON) -> JSON {
    let steps = stage["max_steps"].map { "\(InputDifference.text($0)) steps" } ?? "a stage"
    return .string(stage["stage"]?.string.map { $0.isEmpty ? steps : "\($0) (\(steps))" } ?? steps)
  }
}

/// The differences between the values of two stages.
private struct StageComparison {
  private(set) var phrases: [String] = []
  private let teachers: TeacherMatching

  init(_ old: JSON, _ new: JSON, _ teachers: TeacherMatching) {
    self.teachers = teachers
    var (old, new) = (old.object ?? [:], new.object ?? [:])
    if let alpha = StageComparison.alphas(old, new) {
      phrases.append("alpha \(alpha.old) → \(alpha.new)")
      for key in ["ce_weight", "kd_weight"] { (old[key], new[key]) = (nil, nil) }
    }
    if old["objectives"] != nil || new["objectives"] != nil {
      (old, new) = (StageComparison.listed(old), StageComparison.listed(new))
      compare(objectives: old, new)
    }
    // With another number of teachers these appear or disappear.
    if old["combine"] == nil || new["combine"] == nil { (old["combine"], new["combine"]) = (nil, nil) }
    for key in ["objectives", "teachers", "stage"] { (old[key], new[key]) = (nil, nil) }
    // The precision of the step is an input by itself.
    (old["precision"], new["precision"]) = (nil, nil)
    var found: [InputDifference] = []
    InputDifference.compare(.object(old), .object(new), "", &found)
    phrases += found.map { $0.change($0.path) }
  }

  /// The values with the short form of the objectives written as a list.
  private static func listed(_ values: [String: JSON]) -> [String: JSON] {
    guard values["objectives"] == nil, let ce = values["ce_weight"]?.double, let kd = values["kd_weight"]?.double,
      let temperature = values["temperature"]?.double
    else { return values }
    var result = values
    for key in ["ce_weight", "kd_weight", "temperature"] { result[key] = nil }
    let terms = DistillationObjective(crossEntropyWeight: ce, distillationWeight: kd, temperature: temperature).terms
    result["objectives"] = .array(terms.map(\.json))
    return result
  }

  private mutating func compare(objectives old: [String: JSON], _ new: [String: JSON]) {
    let (before, after) = (terms(of: old, teachers.old), terms(of: new, teachers.new))
    for pair in Alignment(before.map(shared), after.map { $0.without("name") }).pairs {
      let path = "objectives.\(pair.new ?? pair.old ?? 0)"
      guard let first = pair.old.map({ before[$0] }), let second = pair.new.map({ after[$0] }) else {
        let change = InputDifference(
          path: path, old: pair.old.map { title(of: before[$0]) }, new: pair.new.map { title(of: after[$0]) })
        phrases.append(change.change(path))
        continue
      }
      compare(shared(first), second.without("name"), path)
    }
  }

  private mutating func compare(_ old: JSON, _ new: JSON, _ path: String) {
    var (old, new) = (old.object ?? [:], new.object ?? [:])
    if old["kind"] != new["kind"] {
      // Another kind has other options.
      for key in Set(old.keys).symmetricDifference(new.keys) where key != "teacher" {
        (old[key], new[key]) = (nil, nil)
      }
    }
    if old["teacher"] != new["teacher"] {
      let change = InputDifference(
        path: path, old: name(old["teacher"]), new: name(new["teacher"]))
      phrases.append(change.change("\(path).teacher"))
      (old["teacher"], new["teacher"]) = (nil, nil)
    }
    var found: [InputDifference] = []
    InputDifference.compare(.object(old), .object(new), path, &found)
    phrases += found.map { $0.change($0.path) }
  }

  /// The terms of a stage, each with the index of its teacher; without one for a step with a single teacher.
  private func terms(of values: [String: JSON], _ teachers: [TeacherInputs]) -> [JSON] {
    (values["objectives"]?.array ?? []).map { term in
      guard var members = term.object, let name = members["teacher"]?.string else { return term }
      members["teacher"] =
        teachers.count < 2 ? nil : teachers.firstIndex { $0.name == name }.map(JSON.int) ?? .string(name)
      return .object(members)
    }
  }

  /// An old term without its name, and with the new index of its teacher.
  private func shared(_ term: JSON) -> JSON {
    guard var members = term.without("name").object, let index = members["teacher"]?.int,
      teachers.old.indices.contains(index)
    else { return term.without("name") }
    members["teacher"] = teachers.newIndex(index).map(JSON.int) ?? .string(teachers.old[index].name)
    return .object(members)
  }

  /// The name of the teacher with an index among the new ones.
  private func name(_ teacher: JSON?) -> JSON? {
    guard let index = teacher?.int, teachers.new.indices.contains(index) else { return teacher }
    return .string(teachers.new[index].name)
  }

  private func title(of term: JSON) -> JSON {
    .string("\(term["kind"]?.string ?? "an objective") (weight \(InputDifference.text(term["weight"])))")
  }

  /// The old and new alpha, if the weights changed and sum to 1 in both.
  private static func alphas(_ old: [String: JSON], _ new: [String: JSON]) -> (old: String, new: String)? {
    func weights(_ values: [String: JSON]) -> (ce: Double, kd: Double)? {
      guard let ce = values["ce_weight"]?.double, let kd = values["kd_weight"]?.double, abs(ce + kd - 1) < 1e-9
      else { return nil }
      return (ce, kd)
    }
    guard let before = weights(old), let after = weights(new), before != after else { return nil }
    return (InputDifference.text(.double(before.ce)), InputDifference.text(.double(after.ce)))
  }
}
