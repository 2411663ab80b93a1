import Platform

/// The inputs of a step that come from one of its teachers.
struct TeacherInputs: Equatable {
  /// What the chain file calls it.
  let name: String
  let digest: String
  let tokenizer: String?
  let topK: JSON?
  /// The precision of its passes; nil for that of the step.
  let precision: JSON?
  /// Its share among several teachers.
  let weight: JSON?
  /// The precision of the step.
  let stepPrecision: JSON?

  /// The teachers in a record of inputs, in order.
  static func all(of inputs: JSON) -> [TeacherInputs] {
    let records = (inputs["teacher"] == nil ? [] : [inputs]) + (inputs["more_teachers"]?.array ?? [])
    let values = inputs["values"]
    let roles = (values?.array?.first ?? values)?["teachers"]?.array ?? []
    return records.enumerated().map { index, record in
      let role: JSON? = roles.indices.contains(index) ? roles[index] : nil
      return TeacherInputs(
        name: role?["name"]?.string ?? record["teacher_name"]?.string ?? "\(index + 1)",
        digest: record["teacher"]?.string ?? "", tokenizer: record["teacher_tokenizer"]?.string,
        topK: record["teacher_top_k"], precision: record["teacher_precision"], weight: role?["weight"],
        stepPrecision: inputs["precision"])
    }
  }
}

/// The teachers of two records of inputs, and which of them are the same.
struct TeacherMatching {
  let old: [TeacherInputs]
  let new: [TeacherInputs]
  /// The old index of each new teacher; nil for an added one.
  private let oldIndex: [Int?]

  init(_ old: [TeacherInputs], _ new: [TeacherInputs]) {
    (self.old, self.new) = (old, new)
    var free = Set(old.indices)
    var found = [Int?](repeating: nil, count: new.count)
    func take(_ isSame: (Int, Int) -> Bool) {
      for index in new.indices where found[index] == nil {
        guard let other = free.sorted().first(where: { isSame($0, index) }) else { continue }
        found[index] = other
        free.remove(other)
      }
    }
    take { old[$0] == new[$1] }
    take { $0 == $1 && old[$0].digest == new[$1].digest }
    take { old[$0].digest == new[$1].digest && old[$0].name == new[$1].name }
    take { old[$0].digest == new[$1].digest }
    take { _, _ in true }
    oldIndex = found
  }

  /// The new index of an old teacher; nil for a teacher that is gone.
  func newIndex(_ index: Int) -> Int? { oldIndex.firstIndex(of: index) }

  /// Whether both records have as many teachers.
  var hasSameCount: Bool { old.count == new.count }

  /// A phrase for each difference.
  var reasons: [String] {
    if old.isEmpty, new.isEmpty { return [] }
    func names(_ teachers: [TeacherInputs]) -> String { teachers.map(\.name).joined(separator: ", ") }
    if old.isEmpty {
      return ["the step now has " + (new.count == 1 ? "a teacher" : "the teachers \(names(new))")]
    }
    if new.isEmpty { return ["the step no longer has " + (old.count == 1 ? "a teacher" : "teachers")] }
    var reasons: [String] = []
    for (index, other) in oldIndex.enumerated() where other == nil {
      reasons.append("the teacher \(new[index].name) was added")
    }
    for index in old.indices where newIndex(index) == nil {
      reasons.append("the teacher \(old[index].name) was removed")
    }
    let order = oldIndex.compactMap { $0 }
    if order != order.sorted() { reasons.append("the order of the teachers \(names(old)) → \(names(new))") }
    for (index, other) in oldIndex.enumerated() {
      if let other { reasons += changes(old[other], new[index]) }
    }
    return reasons
  }

  private func changes(_ old: TeacherInputs, _ new: TeacherInputs) -> [String] {
    let isOnly = self.old.count == 1 && self.new.count == 1
    let whose = isOnly ? "the teacher's" : nil
    func name(_ value: String) -> String { whose.map { "\($0) \(value)" } ?? "the \(value) of the teacher \(new.name)" }
    var reasons: [String] = []
    if old.digest != new.digest {
      reasons.append(isOnly ? "the teacher (its files) changed" : "the teacher \(new.name) (its files) changed")
    }
    if old.tokenizer != new.tokenizer {
      reasons.append("\(name("tokenizer")) \(old.tokenizer == nil ? "was added" : "changed")")
    }
    func compare(_ value: String, _ old: JSON?, _ new: JSON?) {
      var found: [InputDifference] = []
      InputDifference.compare(old, new, "", &found)
      reasons += found.map { $0.change(name(value)) }
    }
    compare("top_k", old.topK, new.topK)
    if old.precision != new.precision {
      compare("precision", old.precision ?? old.stepPrecision, new.precision ?? new.stepPrecision)
    }
    if hasSameCount { compare("weight", old.weight, new.weight) }
    return reasons
  }
}
