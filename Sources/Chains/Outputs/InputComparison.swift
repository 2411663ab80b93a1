import Platform

/// The differences between the inputs of a committed student, or of a checkpoint, and the current ones.
package enum InputComparison {
  /// A phrase for each difference, with the chain file's names and the old and new value: "alpha 0.6 → 0.9",
  /// "objectives.0.temperature 2 → 3", "the training data changed"; empty if the student would be the same.
  package static func reasons(_ old: JSON, _ new: JSON) -> [String] {
    let (before, after) = (StepManifest.deciding(old), StepManifest.deciding(new))
    var all: [InputDifference] = []
    InputDifference.compare(before, after, "", &all)
    if all.isEmpty { return [] }
    let teachers = TeacherMatching(TeacherInputs.all(of: old), TeacherInputs.all(of: new))
    var reasons = ValueComparison(old, new, teachers).reasons
    let paths = Set(all.map(\.path))
    var others: [InputDifference] = []
    InputDifference.compare(before.withoutTraining, after.withoutTraining, "", &others)
    for difference in others {
      // The data is compared in tokenised form, so it changes with these.
      let isConsequence =
        ["train", "validation"].contains(difference.path)
        && !paths.isDisjoint(with: ["student_tokenizer", "max_length"])
      if !isConsequence { reasons.append(difference.phrase) }
    }
    reasons += teachers.reasons
    return reasons.isEmpty ? ["the training values changed"] : reasons
  }
}

extension JSON {
  /// The inputs besides those of the teachers and the training values.
  fileprivate var withoutTraining: JSON {
    ["values", "teacher", "teacher_tokenizer", "teacher_top_k", "teacher_precision", "more_teachers"].reduce(self) {
      $0.without($1)
    }
  }
}

/// A value that differs between two records of inputs.
struct InputDifference: Equatable {
  /// Its keys, separated by dots.
  let path: String
  let old: JSON?
  let new: JSON?

  /// Finds the differences of two values, member by member. A list of numbers or names is one value; lists of objects
  /// are compared element by element.
  static func compare(_ old: JSON?, _ new: JSON?, _ path: String, _ found: inout [InputDifference]) {
    if old == new { return }
    func below(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
    if let before = old?.object, let after = new?.object {
      for key in Set(before.keys).union(after.keys).sorted() { compare(before[key], after[key], below(key), &found) }
      return
    }
    if let before = old?.array, let after = new?.array, (before + after).contains(where: { $0.object != nil }) {
      for pair in Alignment(before, after).pairs {
        compare(
          pair.old.map { before[$0] }, pair.new.map { after[$0] }, below("\(pair.new ?? pair.old ?? 0)"), &found)
      }
      return
    }
    // Compare numbers by value: 1 equals 1.0.
    if let a = old?.double, let b = new?.double, a == b { return }
    found.append(InputDifference(path: path, old: old, new: new))
  }

  /// "NAME OLD → NEW".
  func change(_ name: String) -> String {
    let (before, after) = InputDifference.texts(old, new)
    return "\(name) \(before) → \(after)"
  }

  /// The difference in words.
  var phrase: String {
    let digests = [
      "train": "the training data", "validation": "the validation data",
      "student_base": "the student's base (its files)", "student_tokenizer": "the student's tokenizer",
      "student_base.model": "the model that the student's layers come from (its files)",
    ]
    switch path {
    case "student_tokenizer" where old?.isNull != false: return "the student's tokenizer was added"
    case "student_base" where old == "random" || new == "random": return "the student starts from other weights"
    case "student_base" where old?.object != nil || new?.object != nil:
      return "the student starts from other weights"
    case "student_base.model" where old == nil || new == nil: return "the student starts from other weights"
    case "student_base.teacher_layers", "student_base.layers": return change("student_init.layers")
    case "student_head": return change("student_init.head")
    case "labels": return change("the classes")
    default: break
    }
    if let name = digests[path] { return "\(name) changed" }
    let student = "student_configuration."
    return change(path.hasPrefix(student) ? "student_base.\(path.dropFirst(student.count))" : path)
  }

  /// Two values in a short form that shows their difference.
  static func texts(_ old: JSON?, _ new: JSON?) -> (old: String, new: String) {
    let (before, after) = (Array(text(old)), Array(text(new)))
    let limit = 60
    if before.count <= limit, after.count <= limit { return (String(before), String(after)) }
    // Both begin shortly before their first difference.
    let same = zip(before, after).prefix { $0 == $1 }.count
    let start = same < limit / 2 ? 0 : same - 10
    func part(_ text: [Character]) -> String {
      let shown = text.dropFirst(start).prefix(limit - 3)
      return (start > 0 ? "…" : "") + String(shown) + (start + shown.count < text.count ? "…" : "")
    }
    return (part(before), part(after))
  }

  /// A value as in a chain file.
  static func text(_ value: JSON?) -> String {
    guard let value else { return "nothing" }
    if case .double(let number) = value, number == number.rounded(), abs(number) < 1e15 { return "\(Int(number))" }
    return value.string ?? value.text()
  }
}

/// Pairs of the elements of two lists: equal beginnings and ends belong together, and what is between them in order.
struct Alignment {
  /// The indices of each pair; nil for an element that only one list has.
  let pairs: [(old: Int?, new: Int?)]

  init(_ old: [JSON], _ new: [JSON]) {
    let head = zip(old, new).prefix { $0 == $1 }.count
    let least = min(old.count, new.count) - head
    let tail = zip(old.reversed(), new.reversed()).prefix { $0 == $1 }.count
    let end = old.count == new.count ? 0 : min(tail, least)
    let (before, after) = (Array(head..<old.count - end), Array(head..<new.count - end))
    pairs =
      (0..<max(before.count, after.count)).map {
        ($0 < before.count ? before[$0] : nil, $0 < after.count ? after[$0] : nil)
      }
  }
}
