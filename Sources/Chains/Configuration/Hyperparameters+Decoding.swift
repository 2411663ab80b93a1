import Objectives
import Platform

extension Hyperparameters {
  /// Reads a step's values, with the chain's values as defaults.
  ///
  /// A key of the step overrides the same key of the defaults, also within `optimizer`. A key also overrides
  /// alternative keys for the same setting (`alpha` and `ce_weight`, `batch_size` and `batch_tokens`).
  static func decode(_ own: ConfigurationCursor, over defaults: ConfigurationCursor?) throws -> Hyperparameters {
    // Each mapping is decoded separately first, so that an error is reported at its own key path.
    _ = try decode(own)
    var merged = own
    if let defaults, !defaults.isNull {
      _ = try decode(defaults)
      merged = ConfigurationCursor(node: merge(own.node, over: defaults.node), path: own.path, file: own.file)
    }
    try requireComplete(own, over: defaults)
    var values = try decode(merged)
    values.objectives.isOwn = givesObjectives(own.node)
    try values.checkCombinations(try merged.members(known: Keys.hyperparameters))
    return values
  }

  /// Whether a mapping has a key that says what the loss is.
  static func givesObjectives(_ node: ConfigurationNode) -> Bool {
    (shortForm + ["objectives", "preset"]).contains { key in node[key].map { !$0.isNull } ?? false }
  }

  /// Throws for a temperature alone over a list or a preset, whose terms have temperatures of their own.
  private static func requireComplete(_ own: ConfigurationCursor, over defaults: ConfigurationCursor?) throws {
    func has(_ cursor: ConfigurationCursor, _ keys: [String]) -> ConfigurationCursor? {
      keys.lazy.compactMap { cursor.member($0) }.first { !$0.isNull }
    }
    guard let temperature = has(own, ["temperature"]),
      has(own, ["alpha", "ce_weight", "kd_weight", "objective", "objectives", "preset"]) == nil,
      let list = defaults.flatMap({ has($0, ["objectives", "preset"]) })
    else { return }
    throw temperature.failure(
      "does not change the terms of \(list.location), which have temperatures of their own",
      remedy: "write objectives with the temperature of each, or alpha beside it for another loss")
  }

  /// The keys of the short form of an objective.
  private static let shortForm = ["alpha", "ce_weight", "kd_weight", "temperature", "objective"]

  private static let rivals: [(own: String, displaced: [String])] = [
    ("objectives", shortForm + ["preset"]), ("preset", shortForm + ["objectives"]),
    ("alpha", ["ce_weight", "kd_weight", "objectives", "preset"]), ("ce_weight", ["alpha", "objectives", "preset"]),
    ("kd_weight", ["alpha", "objectives", "preset"]), ("temperature", ["objectives", "preset"]),
    ("objective", ["objectives", "preset"]),
    ("warmup_steps", ["warmup_ratio"]), ("warmup_ratio", ["warmup_steps"]),
    ("batch_size", ["batch_tokens"]), ("batch_tokens", ["batch_size"]), ("num_train_epochs", ["max_steps"]),
  ]

  static func merge(_ own: ConfigurationNode, over base: ConfigurationNode) -> ConfigurationNode {
    guard case .mapping(let entries) = own.content, case .mapping(var merged) = base.content else {
      return own.isNull ? base : own
    }
    for rival in rivals where entries.contains(where: { $0.key == rival.own && !$0.value.isNull }) {
      merged.removeAll { rival.displaced.contains($0.key) }
    }
    if case .scalar(Strategy.epoch.rawValue, _)? = own["evaluation_strategy"]?.content {
      merged.removeAll { $0.key == "eval_steps" }
    }
    for entry in entries {
      guard let index = merged.firstIndex(where: { $0.key == entry.key }) else {
        merged.append(entry)
        continue
      }
      let before = merged[index].value
      merged[index] = entry
      if entry.key == "optimizer" { merged[index].value = merge(entry.value, over: before) }
    }
    return ConfigurationNode(content: .mapping(merged), origin: own.origin)
  }

  /// Reads one mapping of hyperparameters, each key independently.
  static func decode(_ cursor: ConfigurationCursor) throws -> Hyperparameters {
    let members = try cursor.members(known: Keys.hyperparameters)
    var values = Hyperparameters()
    if let member = members["learning_rate"] { values.learningRate = try member.number(.learningRate) }
    if let member = members["optimizer"] { values.optimizer = try decodeOptimizer(member) }
    if let member = members["shuffle"] { values.shuffle = try member.flag() }
    if let member = members["group_by_length"] { values.groupByLength = try member.flag() }
    if let member = members["precision"] { values.precision = try member.word(Precision.self) }
    if let member = members["activation_checkpointing"] { values.activationCheckpointing = try member.flag() }
    if let member = members["schedule"] { values.schedule = try member.word(Schedule.self) }
    values.dropout = try members.present("dropout")?.number(.fractionBelowOne)
    try values.decodeLength(members)
    values.objectives = try decodeObjectives(members)
    try values.decodeWarmup(members)
    try values.decodeEvaluation(members)
    return values
  }

  private mutating func decodeLength(_ members: ConfigurationMembers) throws {
    if let member = members["num_train_epochs"] { trainEpochs = try member.number(.epochs) }
    maxSteps = try members.present("max_steps")?.integer(.atLeastOne)
    if let member = members.present("batch_size") { batchSize = .examples(try member.integer(.atLeastOne)) }
    if let member = members.present("batch_tokens") { batchSize = .tokens(try member.integer(.atLeastOne)) }
    if let member = members["gradient_accumulation_steps"] {
      gradientAccumulationSteps = try member.integer(.microBatches)
    }
  }

  private static func decodeObjectives(_ members: ConfigurationMembers) throws -> ObjectiveListing {
    for rival in ["objectives", "preset"] {
      guard let list = members.present(rival) else { continue }
      for key in shortForm + (rival == "preset" ? ["objectives"] : []) {
        guard let other = members.present(key) else { continue }
        throw other.failure(
          "is given together with \(rival) (\(list.location))", remedy: "keep one of them: each says what the loss is")
      }
    }
    if let list = members.present("objectives") { return try ObjectiveListing.decode(list) }
    if let member = members.present("preset") {
      let preset = try member.word(ObjectivePreset.self)
      // A preset with several stages is split when the step is read; elsewhere its last stage represents it.
      return ObjectiveListing(
        terms: ObjectiveTerm.named(preset.stages.last?.terms ?? []), preset: preset, source: member.location)
    }
    let ce = try (members["alpha"]?.number(.fraction)) ?? members["ce_weight"]?.number(.weight)
    let kd = try members["kd_weight"]?.number(.weight)
    let (hard, soft) = (ce ?? kd.map { 1 - $0 } ?? 0.5, kd ?? 1 - (ce ?? 0.5))
    let given = ["objective", "alpha", "kd_weight", "ce_weight", "temperature"].lazy.compactMap { members.present($0) }
    var listing = ObjectiveListing.short(ce: hard, kd: soft, try divergence(members), source: given.first?.location)
    listing.namesDivergence = members.present("objective") != nil
    listing.temperatureSource = members.present("temperature")?.location
    return listing
  }

  /// The divergence of the short form: `objective`, with `temperature`.
  private static func divergence(_ members: ConfigurationMembers) throws -> ObjectiveTerm {
    var term = ObjectiveTerm(ObjectiveRegistry.forwardKL)
    var isOwn = false
    if let member = members.present("objective") {
      var cursor = member
      if case .mapping = member.node.content, member.node["kind"] == nil {
        cursor = ConfigurationCursor(
          node: member.node.adding("kind", "forward_kl"), path: member.path, file: member.file)
      }
      if let weight = member.member("weight") {
        throw weight.failure("is not the weight of this form", remedy: "write kd_weight, or objectives with this term")
      }
      term = try ObjectiveListing.term(cursor)
      isOwn = member.node["temperature"] != nil
      if term.readsTargets {
        throw member.failure(
          "is the labels' own term, which ce_weight weighs", remedy: "use objectives for a list of terms")
      }
    }
    guard let member = members["temperature"], !member.isNull else { return term }
    let temperature = try ObjectiveListing.schedule(member, .temperature)
    if isOwn { throw member.failure("is given in objective too", remedy: "keep one of them") }
    guard ObjectiveRegistry.kind(term.kind)?.options.contains(where: { $0.name == "temperature" }) ?? false else {
      throw member.failure("has no meaning for the objective \(term.kind)", remedy: "leave it out")
    }
    return term.setting("temperature", .schedule(temperature))
  }

  private mutating func decodeWarmup(_ members: ConfigurationMembers) throws {
    if let steps = members.present("warmup_steps") { warmup = .steps(try steps.integer(.nonNegative)) }
    if let ratio = members.present("warmup_ratio") { warmup = .ratio(try ratio.number(.fraction)) }
  }

  private enum Strategy: String, CaseIterable { case epoch, steps }

  private mutating func decodeEvaluation(_ members: ConfigurationMembers) throws {
    let strategy = try members["evaluation_strategy"]?.word(Strategy.self) ?? .epoch
    let every: Int? = try members.present("eval_steps")?.integer(.atLeastOne)
    if strategy == .steps, let every { evaluation = .steps(every) }
    metric = try members.present("metric")?.word(Metric.self)
    earlyStoppingPatience = try members.present("early_stopping_patience")?.integer(.atLeastOne)
    saveSteps = try members.present("save_steps")?.integer(.atLeastOne)
    if let limit = members["save_total_limit"] { saveTotalLimit = limit.isNull ? nil : try limit.integer(.atLeastOne) }
    if let member = members["max_skipped_steps"] { maxSkippedSteps = try member.integer(.nonNegative) }
    if let member = members["logging_steps"] { loggingSteps = try member.integer(.atLeastOne) }
  }

  /// Checks what single keys cannot show: keys that exclude or require each other.
  private func checkCombinations(_ members: ConfigurationMembers) throws {
    let (ce, kd) = (members["ce_weight"], members["kd_weight"])
    if let alpha = members["alpha"], ce != nil || kd != nil {
      throw alpha.failure(
        "is given together with \(ce != nil ? "ce_weight" : "kd_weight")",
        remedy: "alpha: a means ce_weight: a and kd_weight: 1 - a; keep one way")
    }
    let weights = objectives.terms.map(\.weight.from)
    if let both = ce, kd != nil, weights.allSatisfy({ $0 == 0 }) {
      throw both.failure("and kd_weight are both 0, so that nothing is learned", remedy: "raise one of them")
    }
    if let only = ce ?? kd, weights.contains(where: { $0 < 0 }) {
      throw only.failure(
        "is above 1, and the other weight, 1 minus this one, would be negative",
        remedy: "give both ce_weight and kd_weight")
    }
    if let ratio = members.present("warmup_ratio"), members.present("warmup_steps") != nil {
      throw ratio.failure("is given together with warmup_steps", remedy: "keep one of them")
    }
    let strategy = members["evaluation_strategy"]
    if let strategy, try strategy.word(Strategy.self) == .steps, evaluation == .epoch {
      throw strategy.failure(
        "is steps, and eval_steps is missing", remedy: "add eval_steps: N, the optimizer steps between evaluations")
    }
    if let every = members.present("eval_steps"), evaluation == .epoch {
      throw every.failure(
        "has no meaning with evaluation_strategy: epoch", remedy: "add evaluation_strategy: steps, or take it out")
    }
    try checkBatch(members)
  }

  private func checkBatch(_ members: ConfigurationMembers) throws {
    if let size = members.present("batch_size"), let tokens = members.present("batch_tokens") {
      throw tokens.failure(
        "is given together with batch_size (\(size.location))",
        remedy: "an optimizer step takes so many examples or so many tokens; keep one of them (null takes one back)")
    }
    let (count, unit, key) =
      switch batchSize {
      case .examples(let count): (count, "examples", "batch_size")
      case .tokens(let count): (count, "tokens", "batch_tokens")
      }
    if let member = members["gradient_accumulation_steps"], gradientAccumulationSteps > count {
      throw member.failure(
        "is \(gradientAccumulationSteps), more than the \(count) \(unit) of a batch",
        remedy: "\(key) counts the \(unit) of one optimizer step over all ranks and micro-batches")
    }
  }

  private static func decodeOptimizer(_ cursor: ConfigurationCursor) throws -> Optimizer {
    let members = try cursor.members(known: Keys.optimizer)
    var optimizer = Optimizer()
    if let member = members["weight_decay"] { optimizer.weightDecay = try member.number(.weight) }
    if let member = members["epsilon"] { optimizer.epsilon = try member.number(.epsilon) }
    if let member = members["betas"] {
      let betas = try member.items()
      guard betas.count == 2 else { throw member.failure("has \(betas.count) items, 2 were expected: [0.9, 0.999]") }
      optimizer.beta1 = try betas[0].number(.fractionBelowOne)
      optimizer.beta2 = try betas[1].number(.fractionBelowOne)
    }
    if let member = members["max_grad_norm"] {
      let limit = member.isNull ? 0 : try member.number(.norm)
      optimizer.maxGradientNorm = limit > 0 ? limit : nil
    }
    return optimizer
  }
}
