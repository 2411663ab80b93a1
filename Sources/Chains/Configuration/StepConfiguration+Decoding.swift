import Models
import Objectives
import Platform

extension StepConfiguration {
  /// Reads a step of a chain file.
  ///
  /// - Parameters:
  ///   - defaults: the chain's hyperparameters.
  ///   - teachers: the chain's `parallel.teacher`, the default of a teacher's own placement.
  static func decode(
    _ cursor: ConfigurationCursor, index: Int, defaults: ConfigurationCursor?, teachers: ConfigurationCursor?
  ) throws -> StepConfiguration {
    let members = try cursor.members(known: Keys.step)
    let id = try members.present("step_id")?.name() ?? defaultID(index)
    let teacher = try TeacherReference.decode(members["teacher"], index: index, over: teachers)
    let base = try StudentReference.decode(try members.required("student_base"))
    let own = members["hyperparams"] ?? missing("hyperparams", of: cursor)
    var combine = TeacherCombination.logits
    if let member = members.present("combine") {
      combine = try member.word(TeacherCombination.self)
      if teacher.references.count < 2 {
        let count = teacher == .none ? "without a teacher" : "with one teacher"
        throw member.failure("has no meaning for a step \(count)", remedy: "leave it out")
      }
    }
    let sharesVocabulary = try members["shared_vocabulary"]?.flag() ?? false
    let hasTeacher = teacher != .none && (teacher != .previous || index > 0)
    if sharesVocabulary, !hasTeacher, let member = members["shared_vocabulary"] {
      throw member.failure("has no meaning for a step without a teacher", remedy: "leave it out")
    }
    return StepConfiguration(
      id: id, teacher: teacher, studentBase: base,
      studentInit: try members.present("student_init").map {
        try StudentInitialization.decode($0, teacher: teacher, base: base)
      },
      outputDirectory: try members.required("output_dir").string(),
      allowUntrainedTeacher: try members["allow_untrained_teacher"]?.flag() ?? false, combine: combine,
      sharesVocabulary: sharesVocabulary,
      stages: try stages(members, own, over: defaults), source: SourceLocations(cursor))
  }

  /// The listed stages, the stages of a preset, or a single stage.
  private static func stages(
    _ members: ConfigurationMembers, _ own: ConfigurationCursor, over defaults: ConfigurationCursor?
  ) throws -> [StageConfiguration] {
    let step = try Hyperparameters.decode(own, over: defaults)
    guard let list = members.present("stages") else {
      guard let preset = step.objectives.preset, preset.stages.count > 1 else {
        return [StageConfiguration(name: nil, hyperparameters: step)]
      }
      return preset.stages.map { stage in
        var values = step
        values.objectives.terms = ObjectiveTerm.named(stage.terms)
        return StageConfiguration(name: stage.name, hyperparameters: values)
      }
    }
    let items = try list.items()
    if items.isEmpty { throw list.failure("is an empty list", remedy: "write one stage at least, or leave it out") }
    let merged = ConfigurationCursor(
      node: defaults.map { Hyperparameters.merge(own.node, over: $0.node) } ?? own.node, path: own.path,
      file: own.file)
    var stages: [StageConfiguration] = []
    for (index, item) in items.enumerated() {
      let keys = try item.members(known: Keys.stage)
      let name = try keys.present("name")?.name() ?? "stage_\(index + 1)"
      if stages.contains(where: { $0.name == name }) {
        throw item.failure("\"\(name)\" is the name of another stage", remedy: "give each stage its own")
      }
      let cursor = keys["hyperparams"] ?? missing("hyperparams", of: item)
      var values = try Hyperparameters.decode(cursor, over: merged)
      values.objectives.isOwn = values.objectives.isOwn || Hyperparameters.givesObjectives(own.node)
      if let preset = values.objectives.preset, preset.stages.count > 1 {
        throw cursor.failure(
          "asks for the preset \(preset.rawValue), which has stages of its own", remedy: "leave stages out, or preset")
      }
      try requireAlike(values, stages.first?.hyperparameters ?? values, cursor)
      stages.append(StageConfiguration(name: items.count == 1 ? nil : name, hyperparameters: values))
    }
    return stages
  }

  /// Throws if a stage changes a setting that all stages of a step must share.
  private static func requireAlike(_ own: Hyperparameters, _ first: Hyperparameters, _ cursor: ConfigurationCursor)
    throws
  {
    let keys = [
      ("precision", own.precision == first.precision),
      ("activation_checkpointing", own.activationCheckpointing == first.activationCheckpointing),
      ("save_total_limit", own.saveTotalLimit == first.saveTotalLimit),
    ]
    for (key, isAlike) in keys where !isAlike {
      throw (cursor.member(key) ?? cursor).failure(
        "is another \(key) than that of the first stage", remedy: "write it in the step's hyperparams, for all stages")
    }
  }

  private static func missing(_ key: String, of cursor: ConfigurationCursor) -> ConfigurationCursor {
    let empty = ConfigurationNode(content: .scalar("", quoted: false), origin: cursor.node.origin)
    return ConfigurationCursor(node: empty, path: "\(cursor.path).\(key)", file: cursor.file)
  }
}

extension TeacherReference {
  /// A missing key means the previous step's student, or no teacher in the first step; null means no teacher.
  static func decode(_ cursor: ConfigurationCursor?, index: Int, over placement: ConfigurationCursor?) throws
    -> TeacherReference
  {
    guard let cursor else { return index == 0 ? .none : .previous }
    if cursor.isNull { return .none }
    guard case .sequence = cursor.node.content else {
      return .named([try TeacherEntry.decode(cursor, over: placement)])
    }
    let items = try cursor.items()
    if items.isEmpty { throw cursor.failure("is an empty list", remedy: "write null to train without a teacher") }
    let teachers = try items.map { try TeacherEntry.decode($0, over: placement) }
    var names: Set<String> = []
    for (item, teacher) in zip(items, teachers) where !names.insert(teacher.name ?? teacher.reference).inserted {
      throw item.failure(
        "\"\(teacher.name ?? teacher.reference)\" is another teacher of the step", remedy: "give each its own name")
    }
    return .named(teachers)
  }
}

extension TeacherEntry {
  /// Reads a teacher: a plain reference, or a mapping.
  static func decode(_ cursor: ConfigurationCursor, over placement: ConfigurationCursor?) throws -> TeacherEntry {
    guard case .mapping = cursor.node.content else { return TeacherEntry(reference: try cursor.string()) }
    let members = try cursor.members(known: Keys.teacher)
    var entry = TeacherEntry(reference: try members.required("model").string())
    entry.name = try members.present("name")?.name()
    if let weight = members.present("weight") {
      entry.weight = try weight.number(.weight)
      if entry.weight == 0 { throw weight.failure("is 0", remedy: "leave the teacher out") }
    }
    if let own = members.present("parallel") {
      let node = placement.map { Hyperparameters.merge(own.node, over: $0.node) } ?? own.node
      _ = try own.members(known: Keys.parallelTeacher)
      let merged = ConfigurationCursor(node: node, path: own.path, file: own.file)
      entry.placement = try TeacherPlacementConfiguration.decode(merged.members(known: Keys.parallelTeacher), own: own)
      entry.placementSource = SourceLocations(own)
    }
    return entry
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
  /// Throws if a key of a model configuration is a misspelling of a key that the families read, since that key would
  /// silently get its default.
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
      // With several teachers, the first one.
      case .previous, .named: break
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

  /// The value in a chain file.
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
  /// The tree as JSON; unquoted scalars become null, Booleans or numbers if they have that form.
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
