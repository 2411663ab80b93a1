import Collectives
import Datasets
import Foundation
import Platform
import Training

extension ChainConfiguration {
  /// Reads and validates a chain file.
  ///
  /// - Parameters:
  ///   - overrides: `KEY.PATH=VALUE` texts of `--set`, applied in order before anything is validated.
  ///   - environment: the variables for `${NAME}` and `${NAME:-default}` in values.
  /// - Throws: `.configuration`, also for a file that cannot be read.
  package init(
    contentsOf file: String, overrides: [String] = [],
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws {
    let text = try configurationText(of: file, wanted: "a chain file")
    try self.init(parsing: text, file: file, overrides: overrides, environment: environment)
  }

  /// Validates the text of a chain file; `file` is its name in messages.
  ///
  /// Top-level keys that start with `x-` are ignored, so they can hold anchors.
  /// - Throws: `.configuration` with file, line and key path.
  package init(
    parsing text: String, file: String = "chain.yaml", overrides: [String] = [], environment: [String: String] = [:]
  ) throws {
    guard let root = try ConfigurationNode(parsing: text, file: file) else {
      throw RetortError(.configuration, "is empty", at: file, remedy: "a chain file starts with distillation_chain:")
    }
    var chain = try ChainConfiguration.chainNode(root, file: file)
    for override in overrides { try ConfigurationOverride(parsing: override).apply(to: &chain) }
    chain = try chain.expandingEnvironment(environment, file: file)
    let cursor = ConfigurationCursor(node: chain, path: "", file: file)
    let members = try cursor.members(known: Keys.chain)
    self.file = file
    let name = fileName(of: file)
    // The name without its extension, unless it has nothing else.
    let stem = name.lastIndex(of: ".").map { name[..<$0] } ?? ""
    let fallback = stem.isEmpty ? name : String(stem)
    metadata = try Metadata.decode(try members.required("metadata"), defaultName: fallback)
    parallel = try members["parallel"].map(ParallelConfiguration.decode) ?? ParallelConfiguration()
    if let defaults = members["defaults"] { _ = try Hyperparameters.decode(defaults) }
    let task = metadata.task.kind.definition
    let items = try members.required("steps").items()
    if items.isEmpty { throw try members.required("steps").failure("is empty, at least one step was expected") }
    steps = try items.enumerated().map { index, item in
      try StepConfiguration.decode(
        item, index: index, defaults: members["defaults"], teachers: members["parallel"]?.member("teacher")
      ).adapted(to: task)
    }
    try checkNames()
    try checkReferences()
    try checkMetrics()
  }

  private static func chainNode(_ root: ConfigurationNode, file: String) throws -> ConfigurationNode {
    var outer = root
    if case .mapping(let entries) = root.content {
      outer.content = .mapping(entries.filter { !$0.key.hasPrefix("x-") })
    }
    let cursor = ConfigurationCursor(node: outer, path: "", file: file)
    return try cursor.members(known: Keys.root).required("distillation_chain").node
  }

  /// Step names and output directories must be unique.
  private func checkNames() throws {
    var names: [String: Int] = [:]
    var outputs: [String: Int] = [:]
    for (index, step) in steps.enumerated() {
      if let first = names.updateValue(index, forKey: step.id) {
        throw RetortError(
          .configuration, "\"\(step.id)\" is the step_id of step \(first) already",
          at: step.source.location(of: "step_id"), remedy: "give each step its own step_id")
      }
      if let first = outputs.updateValue(index, forKey: normalPath(step.outputDirectory)) {
        throw RetortError(
          .configuration, "\"\(step.outputDirectory)\" is the output_dir of step \"\(steps[first].id)\" already",
          at: step.source.location(of: "output_dir"), remedy: "give each step its own directory")
      }
    }
  }

  /// The metric must exist for the kind of data.
  private func checkMetrics() throws {
    let kind = metadata.task.kind
    for step in steps {
      guard let metric = step.stages.compactMap(\.hyperparameters.metric).first(where: { !$0.applies(to: kind) })
      else { continue }
      let known = kind.definition.metrics.map(\.rawValue)
      throw RetortError(
        .configuration, "is \(metric.rawValue), which data of kind \(kind.rawValue) does not have",
        at: step.source.location(of: "hyperparams.metric"), remedy: "it has: \(known.joined(separator: ", "))")
    }
  }

  /// A step can only use earlier steps.
  private func checkReferences() throws {
    for (index, step) in steps.enumerated() {
      for reference in step.teacher.references {
        try checkOrder(of: reference, usedBy: index, key: "teacher")
      }
      if case .reference(let reference) = step.studentBase {
        try checkOrder(of: reference, usedBy: index, key: "student_base")
      }
    }
  }

  private func checkOrder(of reference: String, usedBy index: Int, key: String) throws {
    guard let used = self.index(ofStep: reference), used >= index else { return }
    throw RetortError(
      .configuration,
      used == index ? "\"\(reference)\" is this step itself" : "\"\(reference)\" is a later step",
      at: steps[index].source.location(of: key), remedy: "name an earlier step, a path or a hub id")
  }
}

/// The text of a configuration file; throws `.configuration` if it cannot be read.
func configurationText(of file: String, wanted: String) throws -> String {
  let data: Data
  do { data = try readFile(file) } catch {
    var refusal = RetortError.wrap(error)
    refusal.kind = .configuration
    refusal.remedy = "give the path of \(wanted), relative to the working directory"
    throw refusal
  }
  guard let text = String(data: data, encoding: .utf8) else {
    throw RetortError(.configuration, "is not UTF-8 text", at: file)
  }
  return text
}

extension Metadata {
  static func decode(_ cursor: ConfigurationCursor, defaultName: String) throws -> Metadata {
    let members = try cursor.members(known: Keys.metadata)
    let length = members["max_length"]
    let metadata = Metadata(
      name: try members.present("name")?.string() ?? defaultName,
      dataset: try DatasetReference.decode(try members.required("dataset")),
      task: try members.present("task").map(TaskConfiguration.decode) ?? TaskConfiguration(),
      maxLength: try length.map { $0.isNull ? nil : try $0.integer(.atLeastOne) } ?? 128,
      seed: try members["seed"]?.integer(.seed, as: UInt64.self) ?? 42,
      namesMaxLength: length != nil, source: SourceLocations(cursor))
    if let stride = metadata.task.stride, let length = metadata.maxLength, stride.tokens >= length {
      throw RetortError(
        .configuration, "is \(stride.tokens), which is not below max_length, \(length)", at: stride.location,
        remedy: "it is the number of tokens that two windows of a long text share: give less, or raise max_length")
    }
    return metadata
  }
}

extension DatasetReference {
  static func decode(_ cursor: ConfigurationCursor) throws -> DatasetReference {
    guard case .mapping = cursor.node.content else { return .path(try cursor.string()) }
    let members = try cursor.members(known: Keys.dataset)
    let train = try members.required("train").texts()
    guard let validation = members.present("validation") else {
      throw cursor.failure(
        "names no validation split", remedy: "add validation: FILE, or hold rows out: validation: {share: 0.1}")
    }
    guard case .mapping = validation.node.content else {
      return .files(train: train, validation: try validation.texts())
    }
    let share = try validation.members(known: Keys.validation).required("share")
    let value = try share.number(.positive)
    if value >= 1 {
      throw share.failure("is \(value), a part of the rows was expected", remedy: "allowed: above 0, below 1")
    }
    return .share(train: train, validation: value)
  }
}

extension TaskConfiguration {
  static func decode(_ cursor: ConfigurationCursor) throws -> TaskConfiguration {
    guard case .mapping = cursor.node.content else {
      let name = try cursor.string()
      if let kind = Kind(rawValue: name) { return TaskConfiguration(kind: kind) }
      return TaskConfiguration(name: name, kind: try known(name, nil, cursor).kind)
    }
    let members = try cursor.members(known: Keys.task)
    var task = TaskConfiguration()
    task.name = try members.present("name")?.string()
    task.kind =
      try members.present("kind")?.word(Kind.self) ?? (members.present("features") == nil ? .classification : .features)
    if let name = members.present("name"), members.present("kind") == nil, let text = task.name {
      let known = try known(text, nil, name)
      if members.present("features") == nil { task.kind = known.kind }
    }
    task.tokens = try members.present("tokens")?.string()
    if let member = members.present("subwords") { task.subwords = try member.word(SubwordUse.self) }
    if let member = members.present("threshold") {
      let value = try member.number(.fraction)
      if value <= 0 || value >= 1 {
        throw member.failure("is \(value), a probability above 0 and below 1 was expected")
      }
      task.threshold = value
    }
    task.stride = try members.present("stride").map { WindowStride(try $0.integer(.nonNegative), at: $0.location) }
    task.pooling = try members.present("pooling")?.word(PoolingMode.self)
    task.normalizes = try members.present("normalize")?.flag()
    task.text = try members.present("text").map { TextColumns(try distinct($0, least: 1)) }
    task.textPair = try members.present("text_pair").map { TextColumns(try distinct($0, least: 1)) }
    task.labelsAre = try members.present("labels_are")?.word(LabelReading.self)
    task.columns = try members.present("columns").map { try distinct($0, least: 1) }
    task.label = try members.present("label")?.string()
    task.hasLabels = !(members["label"]?.isNull ?? false)
    task.labels = try members.present("labels").map {
      try distinct($0, least: task.kind.definition.output == .labels ? 1 : 2)
    }
    task.features = try members.present("features").map { try distinct($0, least: 1) }
    task.prompt = try members.present("prompt")?.string()
    task.documents = try members.present("documents").map(documents)
    let meant = task.kind.definition.keys.union(["name", "kind"])
    for key in Keys.task where !meant.contains(key) {
      guard let member = members.present(key) else { continue }
      let others = Kind.allCases.filter { $0.definition.keys.contains(key) }.map(\.rawValue)
      throw member.failure(
        "has no meaning for kind: \(task.kind.rawValue)", remedy: "it is for \(others.joined(separator: ", "))")
    }
    return task
  }

  /// The task of a name; throws for an unknown name, which would determine nothing about the data.
  private static func known(_ name: String, _ kind: Kind?, _ cursor: ConfigurationCursor) throws -> TaskDescription {
    do { return try TaskDescription(named: name, kind: kind) } catch {
      var refusal = RetortError.wrap(error)
      refusal.location = cursor.location
      throw refusal
    }
  }

  private static func documents(_ cursor: ConfigurationCursor) throws -> DocumentCut {
    let name = try cursor.string()
    if name.isEmpty {
      throw cursor.failure("is an empty text", remedy: "write file, paragraph, line, or the text between documents")
    }
    return DocumentCut(named: name)
  }

  private static func distinct(_ cursor: ConfigurationCursor, least: Int) throws -> [String] {
    if least == 1, case .scalar = cursor.node.content { return [try cursor.string()] }
    let names = try cursor.items().map { ($0, try $0.string()) }
    if names.count < least { throw cursor.failure("has \(names.count) names, at least \(least) were expected") }
    var seen = Set<String>()
    for (item, name) in names where !seen.insert(name).inserted { throw item.failure("\"\(name)\" is named twice") }
    return names.map(\.1)
  }
}

extension ParallelConfiguration {
  static func decode(_ cursor: ConfigurationCursor) throws -> ParallelConfiguration {
    let members = try cursor.members(known: Keys.parallel)
    var parallel = ParallelConfiguration()
    parallel.source = SourceLocations(cursor)
    parallel.threadsPerRank = try members.present("threads_per_rank")?.integer(.threads)
    if let member = members["bucket_megabytes"] { parallel.bucketMegabytes = try member.number(.bucket) }
    if let cache = members.present("cache") { parallel.keepsCache = try cache.flag() }
    if let teacher = members.present("teacher") {
      parallel.teacherPlacement = try TeacherPlacementConfiguration.decode(
        teacher.members(known: Keys.parallelTeacher), own: teacher)
    }
    if let student = try members.present("student")?.members(known: Keys.parallelStudent) {
      if let word = student.present("sharding") { parallel.studentSharding = try word.word(StudentSharding.self) }
    }
    if let exchange = try members.present("exchange")?.members(known: Keys.exchange) {
      if let word = exchange.present("gradients") {
        parallel.exchange.gradients = try word.word(ExchangeOptions.Wire.self)
      }
      if let word = exchange.present("weights") { parallel.exchange.weights = try word.word(ExchangeOptions.Wire.self) }
      parallel.exchange.nodeRanks = try exchange.present("node_ranks")?.integer(.machines)
    }
    if let limits = members.present("watchdog") { parallel.watchdog = try watchdog(limits) }
    return parallel
  }

  /// A single number, the seconds of silence, or a mapping with each limit.
  private static func watchdog(_ cursor: ConfigurationCursor) throws -> WatchdogLimits {
    if case .scalar = cursor.node.content { return WatchdogLimits(silence: try cursor.integer(.watchdog)) }
    let members = try cursor.members(known: Keys.watchdog)
    let silence = try members.present("silence")?.integer(.watchdog) ?? WatchdogLimits.defaultSilence
    var limits = WatchdogLimits(silence: silence, progress: try members.present("progress")?.integer(.watchdog))
    if let phases = try members.present("phases")?.members(known: WatchdogLimits.phaseNames) {
      for name in WatchdogLimits.phaseNames {
        if let limit = phases.present(name) { limits.phases[name] = try limit.integer(.watchdog) }
      }
    }
    return limits
  }
}
