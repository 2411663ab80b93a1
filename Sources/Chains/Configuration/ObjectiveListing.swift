import Datasets
import Models
import Objectives
import Platform

/// The objectives of a training stage, as written in a chain file.
package struct ObjectiveListing: Sendable, Equatable {
  /// The terms with their weights and unique names.
  package var terms: [ObjectiveTerm]
  /// The preset of the terms; nil for listed terms.
  package var preset: ObjectivePreset?
  /// The location of each term in the chain file, for messages; empty for a preset and for the short form.
  var locations: [String] = []
  /// The location of the key that gives the terms: the list, the preset, or a key of the short form; nil for defaults.
  var source: String?
  /// Whether the step itself or one of its stages has that key, rather than the chain's defaults.
  var isOwn = false
  /// Whether the short form names the divergence from the teacher (`objective`).
  var namesDivergence = false
  /// The location of the short form's `temperature`; nil without.
  var temperatureSource: String?

  /// Whether both have the same terms, wherever they are written.
  package static func == (a: ObjectiveListing, b: ObjectiveListing) -> Bool {
    a.terms == b.terms && a.preset == b.preset
  }

  /// The short form: cross-entropy and a divergence, with these weights.
  static func short(ce: Double, kd: Double, _ divergence: ObjectiveTerm, source: String? = nil) -> ObjectiveListing {
    var soft = divergence
    soft.weight = Scheduled(kd)
    return ObjectiveListing(
      terms: ObjectiveTerm.named([ObjectiveTerm(ObjectiveRegistry.crossEntropy, weight: Scheduled(ce)), soft]),
      source: source)
  }

  /// `FILE:LINE: KEY.PATH` of a term or of one of its options; nil for a preset and for the short form.
  func location(of term: Int, key: String? = nil) -> String? {
    guard locations.indices.contains(term) else { return nil }
    return key.map { "\(locations[term]).\($0)" } ?? locations[term]
  }

  /// The distinct temperatures of the terms that read a teacher's logits.
  var temperatures: [Scheduled] {
    terms.reduce(into: []) { found, term in
      guard let objective = term.objective as? any LogitsObjective, type(of: objective).readsTeacher,
        type(of: objective).options.contains(where: { $0.name == "temperature" }),
        !found.contains(objective.temperature)
      else { return }
      found.append(objective.temperature)
    }
  }

  /// The listing for a task: the short form has the task's own objectives where it names none.
  func adapted(to task: TaskDefinition) -> ObjectiveListing {
    guard locations.isEmpty, preset == nil, terms.count == 2 else { return self }
    let own = ObjectiveRegistry.defaults(of: task)
    let usual = ObjectiveRegistry.defaults(of: TaskKind.classification.definition)
    var terms = terms
    if terms[0].kind == usual.targets?.kind, let targets = own.targets, targets != usual.targets {
      terms[0] = ObjectiveTerm(targets, weight: terms[0].weight)
    }
    if terms[1].kind == usual.teacher.kind, own.teacher != usual.teacher, !namesDivergence {
      let temperature = terms[1].options.json["temperature"].map { _ in terms[1].options.schedule("temperature") }
      let hasTemperature = own.teacher.options.contains { $0.name == "temperature" }
      terms[1] = ObjectiveTerm(
        own.teacher, weight: terms[1].weight,
        hasTemperature ? temperature.map { ["temperature": .schedule($0)] } ?? [:] : [:])
    }
    if own.targets == nil {
      // Nothing is learnt from targets, and a single term has no other to be weighed against.
      terms.removeFirst()
      terms[0].weight = Scheduled(1)
    }
    var copy = self
    copy.terms = ObjectiveTerm.named(terms)
    return copy
  }

  /// The objective for these teachers; without teachers only the terms with targets count, with weight 1.
  func objective(_ teachers: [TeacherRole], _ combine: TeacherCombination) -> DistillationObjective {
    if !teachers.isEmpty { return DistillationObjective(terms, combine: combine, teachers: teachers) }
    var terms = terms
    for index in terms.indices { terms[index].weight = Scheduled(terms[index].readsTargets ? 1 : 0) }
    return DistillationObjective(terms, teachers: [])
  }
}

extension StepConfiguration {
  /// The step with the objectives of a task where it names none; throws for a temperature that they do not have.
  func adapted(to task: TaskDefinition) throws -> StepConfiguration {
    var copy = self
    for index in copy.stages.indices {
      let given = copy.stages[index].hyperparameters.objectives
      if task.objectives.targets == nil, given.locations.isEmpty, given.preset == nil, let source = given.source {
        throw RetortError(
          .configuration, "has no meaning for \(task.noun), which learns from a teacher alone", at: source,
          remedy: "leave it out, or list objectives: [\(task.objectives.teacher)]")
      }
      let listing = given.adapted(to: task)
      if let source = listing.temperatureSource, listing.temperatures.isEmpty {
        throw RetortError(
          .configuration,
          "has no meaning for \(listing.terms.map(\.kind).joined(separator: " and ")), the objectives of "
            + task.noun, at: source, remedy: "leave it out")
      }
      copy.stages[index].hyperparameters.objectives = listing
    }
    return copy
  }

  /// The distinct temperatures over all stages of the terms that read a teacher's logits.
  var temperatures: [Scheduled] {
    stages.flatMap(\.hyperparameters.objectives.temperatures).reduce(into: []) { found, temperature in
      if !found.contains(temperature) { found.append(temperature) }
    }
  }
}

extension ObjectiveListing {
  /// Reads a list of objectives.
  static func decode(_ cursor: ConfigurationCursor) throws -> ObjectiveListing {
    let items = try cursor.items()
    if items.isEmpty { throw cursor.failure("is an empty list", remedy: "name one objective at least") }
    let terms = try items.map(term)
    var names: [String: Int] = [:]
    for (index, term) in terms.enumerated() where items[index].node["name"] != nil {
      if names.updateValue(index, forKey: term.name) != nil {
        throw items[index].failure("\"\(term.name)\" is the name of another objective", remedy: "give each its own")
      }
    }
    if terms.allSatisfy({ $0.weight.from == 0 && $0.weight.to == 0 }) {
      throw cursor.failure("has no objective with a weight above 0, so that nothing is learned")
    }
    return ObjectiveListing(
      terms: ObjectiveTerm.named(terms), locations: items.map(\.location), source: cursor.location)
  }

  /// Reads one objective: the plain name of a kind, or a mapping with its kind and options.
  static func term(_ cursor: ConfigurationCursor) throws -> ObjectiveTerm {
    guard case .mapping = cursor.node.content else { return ObjectiveTerm(try kind(cursor)) }
    guard let node = cursor.node["kind"] else {
      throw cursor.failure(
        "has no kind", remedy: "the kinds are \(ObjectiveRegistry.names.joined(separator: ", "))")
    }
    let kind = try kind(ConfigurationCursor(node: node, path: "\(cursor.path).kind", file: cursor.file))
    let members = try self.members(of: cursor, kind)
    var options: [String: OptionValue] = [:]
    for option in kind.options {
      if let member = members.present(option.name) { options[option.name] = try value(of: option, member) }
    }
    let term = ObjectiveTerm(
      kind, name: try members.present("name")?.name(),
      weight: try members.present("weight").map { try schedule($0, .weight) } ?? Scheduled(1),
      teacher: try members.present("teacher")?.string(), options)
    if let refusal = kind.refusal(term.options) {
      let place = refusal.key.flatMap { members[$0] } ?? cursor
      throw place.failure(refusal.what, remedy: refusal.remedy)
    }
    return term
  }

  private static func kind(_ cursor: ConfigurationCursor) throws -> any Objective.Type {
    let name = try cursor.string()
    if let kind = ObjectiveRegistry.kind(name) { return kind }
    let near = nearestName(to: name, among: ObjectiveRegistry.names).map { "did you mean \"\($0)\"? The" } ?? "the"
    throw cursor.failure(
      "there is no objective \"\(name)\"",
      remedy: "\(near) kinds are \(ObjectiveRegistry.names.joined(separator: ", "))")
  }

  /// The keys of an objective; the error for another kind's option names that kind.
  private static func members(of cursor: ConfigurationCursor, _ kind: any Objective.Type) throws
    -> ConfigurationMembers
  {
    let known = ["kind", "name", "weight", "teacher"] + kind.options.map(\.name)
    if let type = kind as? any LogitsObjective.Type, !type.readsTeacher, let teacher = cursor.member("teacher"),
      !teacher.isNull
    {
      throw teacher.failure("is given to \(kind.kind), which reads labels and no teacher", remedy: "leave it out")
    }
    guard case .mapping(let entries) = cursor.node.content else { return try cursor.members(known: known) }
    for entry in entries where !known.contains(entry.key) {
      let others = ObjectiveRegistry.all.filter { $0.options.contains { $0.name == entry.key } }.map { $0.kind }
      if others.isEmpty { continue }
      throw RetortError(
        .configuration,
        "\(kind.kind) has no option \"\(entry.key)\"; \(others.joined(separator: ", ")) "
          + (others.count == 1 ? "has" : "have"),
        at: ConfigurationCursor.location(entry.origin, "\(cursor.path).\(entry.key)", cursor.file),
        remedy: kind.options.isEmpty
          ? "it has no options of its own" : "its options are \(kind.options.map(\.name).joined(separator: ", "))")
    }
    return try cursor.members(known: known)
  }

  private static func value(of option: ObjectiveOption, _ cursor: ConfigurationCursor) throws -> OptionValue {
    switch option.domain {
    case .number(let range, _): .number(try cursor.number(.within(range)))
    case .schedule: .schedule(try schedule(cursor, .temperature))
    case .count: .count(try cursor.integer(.machines))
    case .word(let words, _): .word(try word(cursor, words))
    case .flag: .flag(try cursor.flag())
    case .layers: .layers(try layers(cursor))
    }
  }

  private static func word(_ cursor: ConfigurationCursor, _ words: [String]) throws -> String {
    let text = try cursor.string()
    if words.contains(text) { return text }
    let near = nearestName(to: text, among: words).map { "did you mean \"\($0)\"? Allowed" } ?? "allowed"
    throw cursor.failure("is \"\(text)\"", remedy: "\(near): \(words.joined(separator: ", "))")
  }

  /// Reads a number, or `{from, to, shape}`.
  static func schedule(_ cursor: ConfigurationCursor, _ allowed: AllowedNumbers) throws -> Scheduled {
    guard case .mapping = cursor.node.content else { return Scheduled(try cursor.number(allowed)) }
    let members = try cursor.members(known: Keys.scheduled)
    return Scheduled(
      from: try members.required("from").number(allowed), to: try members.required("to").number(allowed),
      shape: try members.present("shape")?.word(Scheduled.Shape.self) ?? .linear)
  }

  private static func layers(_ cursor: ConfigurationCursor) throws -> LayerMap {
    let remedy = "write uniform, last, or a map {student layer: teacher layer, …}"
    if case .sequence = cursor.node.content { throw cursor.failure("is a list", remedy: remedy) }
    guard case .mapping(let entries) = cursor.node.content else {
      let text = try cursor.string()
      if ["uniform", "last"].contains(text) { return text == "last" ? .last : .uniform }
      throw cursor.failure("is \"\(text)\"", remedy: remedy)
    }
    if entries.isEmpty { throw cursor.failure("is an empty map", remedy: "write {student layer: teacher layer, …}") }
    let pairs = try entries.map { entry -> LayerPair in
      let key = ConfigurationCursor(
        node: ConfigurationNode(content: .scalar(entry.key, quoted: false), origin: entry.origin),
        path: "\(cursor.path).\(entry.key)", file: cursor.file)
      let value = ConfigurationCursor(node: entry.value, path: "\(cursor.path).\(entry.key)", file: cursor.file)
      return LayerPair(try key.integer(.nonNegative), try value.integer(.nonNegative))
    }
    return .pairs(pairs.sorted { $0.student < $1.student })
  }
}

extension AllowedNumbers {
  /// The numbers in a closed range.
  static func within(_ range: ClosedRange<Double>) -> AllowedNumbers {
    AllowedNumbers(text: "from \(range.lowerBound) to \(range.upperBound)") { range.contains($0) }
  }
}
