import Platform

/// The differences between the inputs of a committed student and the current ones.
package enum InputComparison {
  /// A phrase for each difference, with the chain file's names: "alpha 0.6 → 0.9", "the training data changed"; empty
  /// if the student would be the same.
  package static func reasons(_ old: JSON, _ new: JSON) -> [String] {
    var differences: [Difference] = []
    compare(StepManifest.deciding(old), StepManifest.deciding(new), "", &differences)
    let paths = Set(differences.map(\.path))
    var reasons: [String] = []
    if let alpha = alphas(old, new) {
      reasons.append("alpha \(alpha.old) → \(alpha.new)")
      differences.removeAll { ["values.ce_weight", "values.kd_weight"].contains($0.path) }
    }
    for difference in differences {
      // The data is compared in tokenised form, so it changes with these.
      let isConsequence =
        ["train", "validation"].contains(difference.path)
        && !paths.isDisjoint(with: ["student_tokenizer", "max_length"])
      if isConsequence || (difference.path == "values.precision" && paths.contains("precision")) { continue }
      reasons.append(phrase(difference))
    }
    return reasons
  }

  private struct Difference {
    let path: String
    let old: JSON?
    let new: JSON?
  }

  private static func compare(_ old: JSON?, _ new: JSON?, _ path: String, _ found: inout [Difference]) {
    if old == new { return }
    guard let before = old?.object, let after = new?.object else {
      // Compare numbers by value: 1 equals 1.0.
      if let a = old?.double, let b = new?.double, a == b { return }
      found.append(Difference(path: path, old: old, new: new))
      return
    }
    for key in Set(before.keys).union(after.keys).sorted() {
      compare(before[key], after[key], path.isEmpty ? key : "\(path).\(key)", &found)
    }
  }

  /// The old and new alpha, if the weights changed and sum to 1 in both.
  private static func alphas(_ old: JSON, _ new: JSON) -> (old: String, new: String)? {
    func weights(_ inputs: JSON) -> (ce: Double, kd: Double)? {
      guard let ce = inputs["values"]?["ce_weight"]?.double, let kd = inputs["values"]?["kd_weight"]?.double,
        abs(ce + kd - 1) < 1e-9
      else { return nil }
      return (ce, kd)
    }
    guard let before = weights(old), let after = weights(new), before != after else { return nil }
    return (text(.double(before.ce)), text(.double(after.ce)))
  }

  private static func phrase(_ difference: Difference) -> String {
    let (path, old, new) = (difference.path, difference.old, difference.new)
    func change(_ name: String) -> String { "\(name) \(text(old)) → \(text(new))" }
    let digests = [
      "train": "the training data", "validation": "the validation data", "teacher": "the teacher (its files)",
      "student_base": "the student's base (its files)", "student_tokenizer": "the student's tokenizer",
      "teacher_tokenizer": "the teacher's tokenizer",
    ]
    switch path {
    case "teacher" where old == nil: return "the step now has a teacher"
    case "teacher" where new == nil: return "the step no longer has a teacher"
    case "student_tokenizer" where old?.isNull != false, "teacher_tokenizer" where old?.isNull != false:
      return "\(digests[path]!) was added"
    case "student_base" where old == "random" || new == "random": return "the student starts from other weights"
    case "student_base" where old?.object != nil || new?.object != nil:
      return "the student starts from other weights"
    case "student_base.teacher_layers": return change("student_init.layers")
    case "labels": return change("the classes")
    case "teacher_top_k": return change("the teacher's top_k")
    case "teacher_precision": return change("the teacher's precision")
    case "values": return "the training values changed"
    default: break
    }
    if let name = digests[path] { return "\(name) changed" }
    if path.hasPrefix("values.optimizer.") { return change(String(path.dropFirst(7))) }
    if path.hasPrefix("values.") { return change(String(path.dropFirst(7))) }
    let student = "student_configuration."
    if path.hasPrefix(student) { return change("student_base.\(path.dropFirst(student.count))") }
    return change(path)
  }

  /// A value in a short form for comparison.
  private static func text(_ value: JSON?) -> String {
    guard let value else { return "nothing" }
    var text = value.string ?? value.text()
    if case .double(let number) = value, number == number.rounded(), abs(number) < 1e15 { text = "\(Int(number))" }
    return text.count > 60 ? text.prefix(57) + "…" : text
  }
}
