import Models
import Platform

/// The loss of a step: Σ_k w_k · (mean of term k over the global batch).
///
/// The common case, cross-entropy with the labels plus T²·KL(teacher ‖ student), is from Hinton, Vinyals and Dean
/// (2015); T² keeps the size of the soft gradient independent of the temperature.
package struct DistillationObjective: Sendable, Equatable {
  /// The terms with their weights and unique names.
  package let terms: [ObjectiveTerm]
  /// How terms on logits combine several teachers.
  package var combine: TeacherCombination
  /// The teachers of the step, in order; empty for plain fine-tuning.
  package var teachers: [TeacherRole]
  /// n, if terms with a teacher's logits compare the classes 0 ..< n alone: the shared tokens of padded vocabularies.
  package var sharedClasses: Int?

  /// Creates the loss of these terms.
  ///
  /// - Parameter teachers: one teacher by default; empty for plain fine-tuning.
  package init(
    _ terms: [ObjectiveTerm], combine: TeacherCombination = .logits, teachers: [TeacherRole] = [TeacherRole("teacher")]
  ) {
    self.terms = ObjectiveTerm.named(terms)
    self.combine = combine
    self.teachers = teachers
  }

  /// Creates ce_weight · cross-entropy + kd_weight · T²·KL(teacher ‖ student); the weights
  /// need not sum to 1, and T is above 0.
  package init(crossEntropyWeight: Double, distillationWeight: Double, temperature: Double) {
    self.init([
      ObjectiveTerm(CrossEntropy.self, weight: Scheduled(crossEntropyWeight)),
      ObjectiveTerm(
        ForwardKL.self, weight: Scheduled(distillationWeight),
        ["temperature": .schedule(Scheduled(temperature))]),
    ])
  }

  /// The terms that a step computes: all of them, or without teachers only those with the targets of the data.
  package var activeTerms: [ObjectiveTerm] {
    teachers.isEmpty ? terms.filter { $0.readsTargets } : terms
  }

  /// w_i of the teachers, normalised to a sum of 1.
  package var teacherWeights: [Double] {
    let sum = teachers.reduce(0) { $0 + $1.weight }
    return teachers.map { $0.weight / sum }
  }

  /// The index of the teacher that a term reads; nil for all teachers.
  func teacher(of term: ObjectiveTerm) -> Int? {
    term.teacher.flatMap { name in teachers.firstIndex { $0.name == name } }
  }

  /// The inner terms, prepared for a student and its teachers.
  ///
  /// - Parameters:
  ///   - shapes: one per teacher; nil for a model without layers.
  ///   - stage: a prefix of the projections' names; nil with a single stage. The names have the kinds of the terms and
  ///     not their own names, so that renaming a term changes neither initial weights nor checkpoints.
  ///   - seed: of the projections' initial weights; without one they stay zero and take no memory, for checks.
  /// Throws `TermRefusal` for models that a term cannot compare.
  package func innerTerms(
    student: ModelShape?, teachers shapes: [ModelShape?], stage: String? = nil, seed: UInt64? = nil
  ) throws -> [InnerTerm] {
    var result: [InnerTerm] = []
    let labels = ObjectiveTerm.uniqueNames(activeTerms.map(\.kind))
    for (index, term) in activeTerms.enumerated() {
      guard let objective = term.objective as? any InnerObjective else { continue }
      let place = teacher(of: term) ?? 0
      do {
        guard let student, let teacher = shapes[place] else {
          throw ObjectiveRefusal(
            key: nil, what: "compares layers, and \(student == nil ? "the student" : "the teacher") has none",
            remedy: "use an objective on logits")
        }
        result.append(
          try InnerTerm(
            objective, index: index, name: (stage.map { "\($0)." } ?? "") + labels[index], teacher: place,
            student: student, teacherShape: teacher, seed: seed))
      } catch let refusal as ObjectiveRefusal { throw TermRefusal(term: index, refusal: refusal) }
    }
    return result
  }

  /// What the terms need, for a plan of memory and time.
  package struct Needs: Sendable, Equatable {
    /// Floats per token that inner terms keep in a pass.
    package let passFloats: Int
    /// Weights of the terms' projections.
    package let projectionWeights: Int
    /// The indices of the teachers that terms read.
    package let teachers: Set<Int>
    /// Whether the examples of a batch are compared with each other, after a forward pass of the student over all.
    package let comparesBatch: Bool
  }

  /// What the terms need of models of these sizes. Terms that cannot compare them need nothing inside the models, since
  /// another check refuses them.
  package func needs(student: ModelShape?, teachers shapes: [ModelShape?]) -> Needs {
    let terms = (try? innerTerms(student: student, teachers: shapes)) ?? []
    let signals = needs(terms)
    let projections = terms.flatMap(\.parameters).flatMap(\.parameters)
    let weights = Dictionary(projections.map { (ObjectIdentifier($0), $0.count) }) { first, _ in first }
    return Needs(
      passFloats: terms.reduce(0) { $0 + $1.keptFloats }, projectionWeights: weights.values.reduce(0, +),
      teachers: Set(signals.indices.filter { signals[$0].logits || signals[$0].areInner }),
      comparesBatch: terms.contains(where: \.comparesBatch))
  }

  /// What the terms read of each teacher.
  package func needs(_ inner: [InnerTerm]) -> [SignalNeeds] {
    var needs = teachers.map { _ in SignalNeeds(logits: false) }
    for term in activeTerms {
      guard let objective = term.objective as? any LogitsObjective, type(of: objective).readsTeacher else { continue }
      for place in teacher(of: term).map({ [$0] }) ?? Array(teachers.indices) { needs[place].logits = true }
    }
    for term in inner where term.readsOutputs { needs[term.teacher].logits = true }
    for term in inner { for (point, reading) in term.needs { needs[term.teacher].add(point, reading) } }
    return needs
  }

  /// The terms on logits in an optimizer step.
  package func logitsPlan(step: Int, of steps: Int, counts: StepCounts) -> LogitsPlan {
    var plan = LogitsPlan(
      termCount: activeTerms.count, teacherWeights: teacherWeights, sharedClasses: sharedClasses)
    for (index, term) in activeTerms.enumerated() {
      guard let objective = term.objective as? any LogitsObjective else { continue }
      let weight = term.weight.value(step: step, of: steps)
      let loss: RowLoss
      switch objective.comparison {
      case .teacher(let comparison): loss = comparison
      case .targets(let comparison):
        plan.add(comparison, term: index, weight: weight / Double(max(1, counts.labelled)))
        continue
      }
      let part = LogitsPlan.Part(
        term: index, loss: loss, temperature: Float(objective.temperature.value(step: step, of: steps)),
        target: .teacher(0), weight: weight / Double(max(1, counts.rows)), share: 1)
      plan.parts += parts(part, teacher(of: term))
    }
    return plan
  }

  /// The parts of a term, one per target.
  private func parts(_ whole: LogitsPlan.Part, _ named: Int?) -> [LogitsPlan.Part] {
    func part(_ target: LogitsTarget, share: Double = 1, byConfidence: Bool = false) -> LogitsPlan.Part {
      var result = whole
      (result.target, result.share, result.byConfidence) = (target, share, byConfidence)
      return result
    }
    if let place = named ?? (teachers.count == 1 ? 0 : nil) { return [part(.teacher(place))] }
    switch combine {
    case .logits: return [part(.meanLogits)]
    case .probabilities: return [part(.meanProbabilities(whole.temperature))]
    case .sum, .confidence:
      return zip(teachers.indices, teacherWeights).map {
        part(.teacher($0), share: $1, byConfidence: combine == .confidence)
      }
    }
  }

  /// The weights of the terms in an optimizer step.
  package func weights(step: Int, of steps: Int) -> [Double] {
    activeTerms.map { $0.weight.value(step: step, of: steps) }
  }

  /// The means of the terms, from their sums over the global batch.
  package func means(of sums: [Double], counts: StepCounts, _ inner: [InnerTerm]) -> [Double] {
    activeTerms.indices.map { index in
      if let term = inner.first(where: { $0.index == index }) { return sums[index] / term.denominator(counts) }
      let isHard = activeTerms[index].readsTargets
      return sums[index] / Double(max(1, isHard ? counts.labelled : counts.rows))
    }
  }

  /// The means of the first term with targets and of the first one with a teacher's logits; 0 for a missing one.
  package func hardAndSoft(_ means: [Double]) -> (hard: Double, soft: Double) {
    let kinds = activeTerms.map { ObjectiveRegistry.kind($0.kind) as? any LogitsObjective.Type }
    let soft = kinds.firstIndex { $0?.readsTeacher ?? false }
    let hard = activeTerms.firstIndex { $0.readsTargets }
    return (hard.map { means[$0] } ?? 0, soft.map { means[$0] } ?? 0)
  }

  /// The weights and the temperature of the short form (`ce_weight`, `kd_weight`, `temperature`); nil for any other
  /// objective.
  package var plain: (ce: Double, kd: Double, temperature: Double)? {
    guard terms.count == 2, teachers.count < 2, terms[0].kind == CrossEntropy.kind, terms[1].kind == ForwardKL.kind,
      terms.allSatisfy({ $0.weight.isConstant && $0.teacher == nil && $0.name == $0.kind }),
      terms[0].options.number("label_smoothing") == 0
    else { return nil }
    let temperature = terms[1].options.schedule("temperature")
    return temperature.isConstant ? (terms[0].weight.from, terms[1].weight.from, temperature.from) : nil
  }

  /// Every value under its chain file key; `shared_vocabulary` is the number of shared tokens.
  package var json: [String: JSON] {
    var members: [String: JSON] = sharedClasses.map { ["shared_vocabulary": .int($0)] } ?? [:]
    if let plain {
      members["ce_weight"] = .double(plain.ce)
      members["kd_weight"] = .double(plain.kd)
      members["temperature"] = .double(plain.temperature)
      return members
    }
    members["objectives"] = .array(terms.map(\.json))
    if teachers.count > 1 {
      members["combine"] = .string(combine.rawValue)
      members["teachers"] = .array(
        zip(teachers, teacherWeights).map { ["name": .string($0.name), "weight": .double($1)] })
    }
    return members
  }
}

/// A term that the models of a step do not allow.
package struct TermRefusal: Error {
  /// The term's index among the objectives.
  package let term: Int
  package let refusal: ObjectiveRefusal
}

extension DistillationObjective {
  /// One readable line per term: "0.3 · cross_entropy", "0.7 · hidden_mse (layers uniform, …) named hidden".
  package var lines: [String] {
    let lines = activeTerms.map { term in
      let weight = term.weight.json.text()
      let options = term.options.json.sorted { $0.key < $1.key }.map {
        "\($0.key) \($0.value.string ?? $0.value.text())"
      }
      let name = term.name == term.kind ? "" : " named \(term.name)"
      let teacher = term.teacher.map { " of teacher \($0)" } ?? ""
      return
        "\(weight) · \(term.kind)\(options.isEmpty ? "" : " (\(options.joined(separator: ", ")))")\(teacher)\(name)"
    }
    let shared = sharedClasses.map { ["on the first \($0) tokens of teacher and student (shared_vocabulary)"] } ?? []
    guard teachers.count > 1 else { return lines + shared }
    let names = zip(teachers, teacherWeights).map { "\($0.name) \(JSON.double($1).text())" }
    return lines + ["combine \(combine.rawValue): \(names.joined(separator: ", "))"] + shared
  }
}
