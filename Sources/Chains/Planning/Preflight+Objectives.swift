import Datasets
import Models
import Objectives
import Platform
import Teachers
import Training

extension Preflight {
  /// Refuses objectives that do not fit the step's models, teachers or placements; returns remarks about the others.
  static func checkObjectives(of step: ResolvedStep, kind: TaskKind) throws -> [String] {
    var remarks: [String] = []
    try checkSharing(of: step, isLanguage: kind.definition.head == .languageModel)
    for stage in step.configuration.stages {
      let check = ObjectiveCheck(step, stage, kind: kind)
      try check.run()
      remarks += try check.remarks()
    }
    try requireReaders(of: step)
    return remarks
  }

  /// Throws for one of several teachers that no objective of any stage reads.
  private static func requireReaders(of step: ResolvedStep) throws {
    guard step.teachers.count > 1 else { return }
    let terms = step.configuration.stages.flatMap(\.hyperparameters.objectives.terms).filter { !$0.readsTargets }
    let all = terms.contains { $0.teacher == nil && $0.objective is any LogitsObjective }
    var read = Set(terms.compactMap(\.teacher))
    if terms.contains(where: { $0.teacher == nil }) { read.insert(step.teachers[0].role.name) }
    for teacher in step.teachers where !all && !read.contains(teacher.role.name) {
      throw RetortError(
        .configuration, "no objective reads the teacher \(teacher.role.name)",
        at: step.configuration.source.location(of: "teacher"),
        remedy: "leave it out, name it in an objective (teacher: \(teacher.role.name)), or add an objective on logits, "
          + "which reads all teachers")
    }
  }
}

/// The check of one training stage's objectives against the models of its step.
private struct ObjectiveCheck {
  private let step: ResolvedStep
  private let stage: StageConfiguration
  private let kind: TaskKind
  private var list: ObjectiveListing { stage.hyperparameters.objectives }

  init(_ step: ResolvedStep, _ stage: StageConfiguration, kind: TaskKind) {
    self.step = step
    self.stage = stage
    self.kind = kind
  }

  func run() throws {
    if step.teachers.isEmpty { try requireLabels() }
    for (index, term) in list.terms.enumerated() {
      try checkTeacher(of: term, index)
      let objective = term.objective
      if let logits = objective as? any LogitsObjective {
        try check(logits, term, index)
      } else {
        try checkPlacement(of: term, index)
        try checkTokens(of: term, index)
      }
    }
    if step.teachers.isEmpty { return }
    do { try requireComparable() } catch let refusal as TermRefusal {
      throw self.refusal(
        refusal.term, refusal.refusal.key,
        (refusal.refusal.key == nil ? "\(list.terms[refusal.term].kind) " : "") + refusal.refusal.what,
        refusal.refusal.remedy)
    }
  }

  /// Without a teacher only the cross-entropies count: throws if there are none, or if the step's own keys ask for
  /// another term.
  private func requireLabels() throws {
    let terms = list.terms
    let isNothing = !terms.contains { $0.readsTargets }
    let hasNoHard = terms.allSatisfy { !$0.readsTargets || $0.weight == Scheduled(0) }
    let asksForOther =
      list.preset != nil || hasNoHard
      || terms.contains { !$0.readsTargets && $0.kind != ObjectiveRegistry.defaults(of: kind.definition).teacher.kind }
    guard isNothing || list.isOwn && list.locations.isEmpty && asksForOther else { return }
    let kinds = terms.filter { !$0.readsTargets }.map(\.kind).joined(separator: ", ")
    throw RetortError(
      .configuration,
      isNothing
        ? "leaves nothing to learn: \(kinds) \(terms.count == 1 ? "reads" : "read") a teacher, and the step has none"
        : "asks for \(kinds), which \(terms.count == 2 ? "reads" : "read") a teacher, and the step has none",
      at: list.source ?? step.configuration.source.location(of: "hyperparams"),
      remedy: "name a teacher"
        + (kind.definition.objectives.targets.map { ", or give the step objectives: [\($0)]" } ?? ""))
  }

  /// Remarks about rounded-down layer maps, and about caches that inner terms do not use.
  func remarks() throws -> [String] {
    guard let student = try shape(step.student.configuration), !step.teachers.isEmpty else { return [] }
    let inner = list.terms.filter { term in
      (term.objective as? any InnerObjective).map { !readsOutputs($0) } ?? false
    }
    let recomputed = Set(inner.map { teacher(of: $0).role.name }).sorted().compactMap { name in
      step.teachers.contains { $0.role.name == name && $0.placement.isCached && kind.definition.keepsSignals }
        ? "step \(step.id): the signals of the teacher \(name) are computed in every epoch, since "
          + "\(inner.map(\.name).joined(separator: ", ")) \(inner.count == 1 ? "reads" : "read") values inside it" : nil
    }
    return try recomputed
      + list.terms.compactMap { term in
        guard let objective = term.objective as? any InnerObjective,
          let teacher = try shape(self.teacher(of: term).model.configuration),
          term.options.json["layers"]?.string == "uniform", teacher.layers % student.layers != 0
        else { return nil }
        let pairs = try objective.pairs(student: student, teacher: teacher)
        let map = pairs.map { "\($0.student): \($0.teacher)" }.joined(separator: ", ")
        return "step \(step.id): \(teacher.layers) layers of the teacher are not a multiple of \(student.layers), so "
          + "\(term.name) compares {\(map)} (rounded down)"
      }
  }

  /// Whether an objective reads the models' outputs, which are their pooled vectors.
  private func readsOutputs(_ objective: any InnerObjective) -> Bool {
    kind.definition.output == .vector && objective.readsPooled
  }

  private func requireComparable() throws {
    let objective = list.objective(step.teachers.map(\.role), step.configuration.combine)
    let shapes = try step.teachers.map { try shape($0.model.configuration) }
    try objective.requireComparable(student: try shape(step.student.configuration), teachers: shapes)
  }

  private func shape(_ configuration: ModelConfiguration) throws -> ModelShape? {
    try plannedNetwork(configuration, classes: nil).shape
  }

  private func refusal(_ term: Int, _ key: String?, _ what: String, _ remedy: String) -> RetortError {
    if let location = list.location(of: term, key: key) {
      return RetortError(.configuration, what, at: location, remedy: remedy)
    }
    // The key of a preset or of the short form holds no such option, so the message names kind and option.
    let place = list.source ?? step.configuration.source.location(of: "hyperparams")
    let own = list.terms[term].kind
    let option = key.flatMap { ["kind", "teacher"].contains($0) ? nil : "\($0) of \(own) " }
    let preset = list.preset.map { "the preset \($0.rawValue): " } ?? ""
    return RetortError(.configuration, preset + (option ?? "") + what, at: place, remedy: remedy)
  }

  private func teacher(of term: ObjectiveTerm) -> ResolvedTeacher {
    step.teachers.first { $0.role.name == term.teacher } ?? step.teachers[0]
  }

  /// The teachers that a term on logits reads.
  private func teachers(of term: ObjectiveTerm) -> [ResolvedTeacher] {
    term.teacher == nil ? step.teachers : [teacher(of: term)]
  }

  /// The number of teachers whose logits the stage's terms read together.
  private var teachersRead: Int {
    Set(
      list.terms.filter { ($0.objective as? any LogitsObjective).map { type(of: $0).readsTeacher } ?? false }
        .flatMap { teachers(of: $0).map(\.role.name) }
    ).count
  }

  private func checkTeacher(of term: ObjectiveTerm, _ index: Int) throws {
    if let name = term.teacher, !step.teachers.contains(where: { $0.role.name == name }) {
      let names = step.teachers.map(\.role.name)
      throw refusal(
        index, "teacher", "\"\(name)\" is no teacher of the step",
        names.isEmpty ? "name a teacher in the step" : "its teachers are \(names.joined(separator: ", "))")
    }
    guard step.teachers.isEmpty, list.isOwn, list.location(of: index) != nil, !term.readsTargets else { return }
    throw refusal(
      index, "kind", "\(term.kind) reads a teacher, and the step has none",
      "name a teacher, or keep cross_entropy alone")
  }

  private func check(_ objective: any LogitsObjective, _ term: ObjectiveTerm, _ index: Int) throws {
    let type = type(of: objective)
    if !type.outputs.contains(kind.definition.output) {
      let others = ObjectiveRegistry.all.filter {
        ($0 as? any LogitsObjective.Type).map { $0.outputs.contains(kind.definition.output) } ?? false
      }
      throw refusal(
        index, "kind", "\(term.kind) is not defined for the outputs of \(kind.definition.noun)",
        others.isEmpty
          ? "use \(kind.definition.objectives.teacher), or another objective inside the models"
          : "use \(others.map { $0.kind }.joined(separator: ", "))")
    }
    guard type.readsTeacher else { return }
    if step.configuration.combine == .confidence, step.teachers.count > 1, kind.definition.output != .classes {
      throw refusal(
        index, "kind", "combine: confidence weighs teachers by their probability of the class, and the task has none",
        "use combine: logits or sum")
    }
    if type.needsLabels, kind.definition.targets == .nextTokens {
      throw refusal(
        index, "kind", "\(term.kind) is defined for classifiers, and the task is language_modeling",
        "use forward_kl, or another divergence on logits")
    }
    if teachers(of: term).count > 1, step.configuration.combine == .probabilities, !type.comparesProbabilities {
      throw refusal(
        index, "kind", "\(term.kind) compares logits, and combine: probabilities gives mean probabilities",
        "use combine: logits or sum, or name one teacher in the objective")
    }
    for teacher in teachers(of: term) where teacher.placement.payload == .topK {
      if teachersRead > 1 {
        // One top-k gives all terms of a step their buckets of classes.
        let reads = teachers(of: term).count > 1 ? "reads" : "is one of several objectives that together read"
        throw refusal(
          index, "kind",
          "\(reads) several teachers, and \(teacher.role.name) gives its \(teacher.placement.topK) largest "
            + "logits alone (payload: top_k)", "use payload: logits or hidden for the teachers of such a step")
      }
      if !type.allowsTopK {
        throw refusal(
          index, "kind",
          "\(term.kind) needs all classes, and \(teacher.role.name) gives its \(teacher.placement.topK) "
            + "largest logits alone (payload: top_k)",
          "use payload: logits or hidden, or a divergence such as forward_kl")
      }
      let temperatures = step.configuration.temperatures
      if temperatures.count > 1 || temperatures.contains(where: { !$0.isConstant }) {
        throw refusal(
          index, "temperature", "a top-k of a teacher's logits is of one temperature, and the objectives have several",
          "use one temperature for all objectives, or payload: logits or hidden")
      }
    }
  }

  /// Refuses a token-by-token comparison between models with different tokenizers.
  private func checkTokens(of term: ObjectiveTerm, _ index: Int) throws {
    guard let objective = term.objective as? any InnerObjective, type(of: objective).comparesTokens,
      !step.teachers.isEmpty
    else { return }
    let teacher = teacher(of: term)
    guard let theirs = teacher.model.tokenizer?.tokenizer, let ours = step.student.tokenizer?.tokenizer,
      theirs.digest != ours.digest
    else { return }
    throw refusal(
      index, "kind",
      "\(term.kind) compares token by token, and the teacher \(teacher.role.name) has another tokenizer "
        + "than the student", "use an objective on logits, or patient_mse, pooled_mse, pooled_cosine")
  }

  /// Refuses terms on values inside a teacher that another placement or payload does not transfer.
  private func checkPlacement(of term: ObjectiveTerm, _ index: Int) throws {
    guard !step.teachers.isEmpty, let objective = term.objective as? any InnerObjective else { return }
    let teacher = teacher(of: term)
    let placement = teacher.placement
    let isOutput = readsOutputs(objective)
    if placement.payload == .logits, placement.placement == .resident || isOutput { return }
    if isOutput {
      throw refusal(
        index, "kind",
        "\(term.kind) reads the vectors of the teacher \(teacher.role.name), and payload: "
          + "\(placement.payload.rawValue) is not for these", "write payload: logits, which sends them as they are")
    }
    let what =
      placement.placement == .resident
      ? "payload: \(placement.payload.rawValue)"
      : "placement: \(placement.placement.rawValue)"
    throw refusal(
      index, "kind", "\(term.kind) reads values inside the teacher \(teacher.role.name), which \(what) does not give",
      "use placement: resident with payload: logits, or an objective on logits")
  }
}

extension ResolvedStep {
  /// Whether an objective compares the student's classes with the teacher's one by one.
  func comparesClasses(with teacher: ResolvedTeacher) -> Bool {
    configuration.stages.contains { stage in
      stage.hyperparameters.objectives.terms.contains { term in
        guard let objective = term.objective as? any LogitsObjective, type(of: objective).readsTeacher else {
          return false
        }
        return !type(of: objective).allowsOtherClasses && (term.teacher == nil || term.teacher == teacher.role.name)
      }
    }
  }
}
