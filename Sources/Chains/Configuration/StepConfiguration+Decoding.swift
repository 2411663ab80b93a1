import Models
import Platform

extension StepConfiguration {
  static func decode(_ cursor: ConfigurationCursor, index: Int, defaults: ConfigurationCursor?) throws
    -> StepConfiguration
  {
    let members = try cursor.members(known: Keys.step)
    let id = try members.present("step_id")?.string() ?? defaultID(index)
    let teacher = try TeacherReference.decode(members["teacher"], index: index)
    let base = try StudentReference.decode(try members.required("student_base"))
    let own = members["hyperparams"] ?? missing("hyperparams", of: cursor)
    return StepConfiguration(
      id: id, teacher: teacher, studentBase: base,
      studentInit: try members.present("student_init").map {
        try StudentInitialization.decode($0, teacher: teacher, base: base)
      },
      outputDirectory: try members.required("output_dir").string(),
      allowUntrainedTeacher: try members["allow_untrained_teacher"]?.flag() ?? false,
      hyperparameters: try Hyperparameters.decode(own, over: defaults),
      source: SourceLocations(cursor))
  }

  private static func missing(_ key: String, of cursor: ConfigurationCursor) -> ConfigurationCursor {
    let empty = ConfigurationNode(content: .scalar("", quoted: false), origin: cursor.node.origin)
    return ConfigurationCursor(node: empty, path: "\(cursor.path).\(key)", file: cursor.file)
  }
}

extension TeacherReference {
  /// Left out: the previous step's student, none in the first step. Null: none.
  static func decode(_ cursor: ConfigurationCursor?, index: Int) throws -> TeacherReference {
    guard let cursor else { return index == 0 ? .none : .previous }
    if cursor.isNull { return .none }
    guard case .sequence = cursor.node.content else { return .one(try cursor.string()) }
    let names = try cursor.strings()
    if names.isEmpty { throw cursor.failure("is an empty list", remedy: "write null to train without a teacher") }
    return names.count == 1 ? .one(names[0]) : .several(names)
  }
}

extension StudentReference {
  static func decode(_ cursor: ConfigurationCursor) throws -> StudentReference {
    switch cursor.node.content {
    case .mapping(let entries):
      try entries.forEach(cursor.requireSpelled)
      return .configuration(cursor.node.json)
    case .sequence: throw cursor.failure("is a list, a path, a hub id or a model configuration was expected")
    case .scalar: return .reference(try cursor.string())
    }
  }
}

extension ConfigurationCursor {
  /// Throws where a key of a model's configuration is a slip of one that the families read: its default would be taken.
  fileprivate func requireSpelled(_ entry: ConfigurationNode.Entry) throws {
    if let near = misspelledName(entry.key, among: Keys.studentBase) { throw unknownKey(entry, [near]) }
  }
}

extension StudentInitialization {
  private enum Head: String, CaseIterable { case new }

  static func decode(_ cursor: ConfigurationCursor, teacher: TeacherReference, base: StudentReference) throws
    -> StudentInitialization
  {
    let members = try cursor.members(known: Keys.studentInit)
    let head: StudentHead = try members.present("head").map { try $0.word(Head.self) } == nil ? .fitting : .new
    guard members["layers"] != nil || members["from"] != nil else {
      guard head == .new else { throw cursor.failure("names neither layers nor head") }
      if case .configuration = base {
        throw cursor.failure("asks for a new head, and all weights of this student_base are new")
      }
      return StudentInitialization(head: head)
    }
    let named = try members.required("layers")
    let indices = try named.items().map { try $0.integer(.nonNegative, as: Int.self) }
    if indices.isEmpty { throw named.failure("is an empty list") }
    let from = try members["from"]?.string() ?? "teacher"
    if from == "teacher" {
      let remedy =
        "name the model: student_init: {from: PATH, layers: …}, or name a teacher; with alpha: 1 it does not teach"
      switch teacher {
      case .none: throw cursor.failure("takes weights from the teacher, and this step has none", remedy: remedy)
      case .several: throw cursor.failure("takes weights from the teacher, and this step has several", remedy: remedy)
      case .previous, .one: break
      }
    }
    if case .configuration(let json) = base, let count = json["num_hidden_layers"]?.int, count != indices.count {
      throw named.failure(
        "names \(indices.count) layers, and student_base has num_hidden_layers: \(count)",
        remedy: "name one layer of the source for each layer of the student")
    }
    return StudentInitialization(
      layers: Layers(source: from == "teacher" ? .teacher : .model(from), indices: indices), head: head)
  }

  /// As it is written in a chain file.
  var json: JSON {
    var keys: [String: JSON] = head == .new ? ["head": "new"] : [:]
    if let layers {
      keys["layers"] = .array(layers.indices.map(JSON.int))
      switch layers.source {
      case .teacher: keys["from"] = "teacher"
      case .model(let name): keys["from"] = .string(name)
      }
    }
    return .object(keys)
  }
}

extension ConfigurationNode {
  /// The tree as JSON; words without quotes are null, true, false or numbers where they look like it.
  var json: JSON {
    switch content {
    case .sequence(let items): return .array(items.map(\.json))
    case .mapping(let entries):
      return .object(Dictionary(entries.map { ($0.key, $0.value.json) }) { first, _ in first })
    case .scalar(let text, let quoted):
      if quoted { return .string(text) }
      if isNull { return .null }
      switch text.lowercased() {
      case "true": return .bool(true)
      case "false": return .bool(false)
      default: break
      }
      if let whole = Int(text) { return .int(whole) }
      if let number = NumberText.double(text), number.isFinite { return .double(number) }
      return .string(text)
    }
  }
}
