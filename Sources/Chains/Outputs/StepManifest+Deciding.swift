import Objectives
import Platform

extension StepManifest {
  /// The inputs without what does not affect the student: the names of the step, of teachers, stages and objectives.
  ///
  /// An objective's `teacher` is a name too; it becomes the teacher's index, so that two teachers that exchange their
  /// names count as a change. An objective's name becomes that of its kind, which its projections have.
  static func deciding(_ inputs: JSON) -> JSON {
    var object = inputs.object ?? [:]
    for name in ["step_id", "teacher_name"] { object[name] = nil }
    if let more = object["more_teachers"]?.array {
      object["more_teachers"] = .array(more.map { $0.without("teacher_name") })
    }
    if let values = object["values"]?.array {
      object["values"] = .array(values.map { deciding(values: $0) })
    } else if let values = object["values"] {
      object["values"] = deciding(values: values)
    }
    return .object(object)
  }

  /// The values of a stage without names.
  private static func deciding(values: JSON) -> JSON {
    guard var object = values.object else { return values }
    object["stage"] = nil
    let names = object["teachers"]?.array?.map { $0["name"]?.string }
    if let teachers = object["teachers"]?.array { object["teachers"] = .array(teachers.map { $0.without("name") }) }
    guard let objectives = object["objectives"]?.array else { return .object(object) }
    let labels = ObjectiveTerm.uniqueNames(objectives.map { $0["kind"]?.string ?? "" })
    object["objectives"] = .array(
      zip(objectives, labels).map { objective, label in
        var members = objective.object ?? [:]
        members["name"] = .string(label)
        // A single teacher is the one that any name means.
        if let name = members["teacher"]?.string {
          members["teacher"] = names.map { names in names.firstIndex { $0 == name }.map(JSON.int) ?? .string(name) }
        }
        return .object(members)
      })
    return .object(object)
  }
}

extension JSON {
  /// The object without a member; other values as they are.
  func without(_ name: String) -> JSON {
    guard var object else { return self }
    object[name] = nil
    return .object(object)
  }
}
