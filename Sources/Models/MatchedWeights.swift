import Autograd
import Platform
import Safetensors

/// The source of each weight of a model; names and shapes are checked, no weight is read yet.
struct MatchedWeights {
  /// The initialised and the ignored tensors.
  let report: LoadReport
  private let model: any Model
  private let seed: UInt64
  private let bindings: [ObjectIdentifier: [WeightBinding]]
  private let buffers: [WeightBinding]
  /// The stored tensors by the names of their bindings.
  private let stored: [String: StoredTensor]

  /// Throws `.input` for missing tensors and for shapes that differ, with file, tensor and both shapes.
  init(_ model: any Model, _ configuration: ModelConfiguration, from origin: WeightOrigin, seed: UInt64) throws {
    let table = model.weightTable
    let isWhole = (model as? any StagedModel)?.part.isWhole ?? true
    self.model = model
    self.seed = seed
    buffers = table.filter { $0.parameter == nil }
    bindings = Dictionary(grouping: table.filter { $0.parameter != nil }) { ObjectIdentifier($0.parameter!) }
    switch origin {
    case .random: (stored, report) = ([:], LoadReport())
    case .checkpoint(let source):
      var found = try MatchedWeights.match(table, configuration, source) { $0 }
      // A part of a model always ignores the tensors of the other parts, so there is nothing to report for it.
      if isWhole {
        let family = configuration.family.definition
        let unread = try family.unusedPrefixes + configuration.sizes.unreadPrefixes
        let ignored = found.report.ignored.filter { name in !unread.contains { name.hasPrefix($0) } }
        found.report.warning = IgnoredTensors.summary(
          ignored, marker: family.layerMarker, layers: try configuration.layerCount
        ).map { "\(source.files.first ?? configuration.source): \($0)" }
      } else {
        found.report.ignored = []
      }
      (stored, report) = found
    case .layers(let layers, let source):
      let marker = configuration.family.definition.layerMarker
      var found = try MatchedWeights.match(table, configuration, source) {
        MatchedWeights.renameLayer($0, layers, behind: marker)
      }
      // The user has left out the other layers on purpose.
      found.report.ignored = []
      (stored, report) = found
    }
  }

  /// Reads a parameter into its memory, which is float32; initialises it if the checkpoint lacks it.
  func fill(_ parameter: Parameter) {
    let parts = bindings[ObjectIdentifier(parameter)] ?? []
    if parts.isEmpty || !parts.allSatisfy({ stored[$0.name] != nil }) { model.initialize(parameter, seed: seed) }
    for part in parts {
      if let stored = stored[part.name] { part.fill(from: stored) }
    }
  }

  /// Reads the buffers, which are stored with the model and not trained.
  func fillBuffers() {
    for buffer in buffers {
      if let stored = stored[buffer.name] { buffer.fill(from: stored) }
    }
  }

  private static func match(
    _ table: [WeightBinding], _ configuration: ModelConfiguration, _ source: any WeightSource,
    _ rename: (String) -> String
  ) throws -> (stored: [String: StoredTensor], report: LoadReport) {
    let file = source.files.first ?? configuration.source
    var stored: [String: StoredTensor] = [:]
    var (used, missing, fresh): (Set<String>, [String], [String]) = ([], [], [])
    for binding in table {
      guard let name = ([binding.name] + binding.aliases).map(rename).first(where: source.contains) else {
        if !binding.isHead { missing.append(rename(binding.name)) }
        if binding.isHead, binding.parameter != nil { fresh.append(binding.name) }
        continue
      }
      used.insert(name)
      try configuration.requireShape(binding.shape.array, name, source)
      let tensor = try source.tensor(name)
      try requireUnscaled(tensor, name, source)
      stored[binding.name] = tensor
    }
    if !missing.isEmpty {
      let shown = missing.prefix(4).joined(separator: ", ") + (missing.count > 4 ? ", …" : "")
      throw RetortError(
        .input, "\(missing.count) tensors that the model needs are missing: \(shown)", at: file,
        remedy: remedy(source, configuration))
    }
    var report = LoadReport()
    report.initialized = fresh.sorted()
    report.ignored = source.names.filter { !used.contains($0) }.sorted()
    return (stored, report)
  }

  /// Throws for a quantised tensor, whose integers need the scales of a second tensor.
  private static func requireUnscaled(_ tensor: StoredTensor, _ name: String, _ source: any WeightSource) throws {
    guard [.int8, .uint8, .int16, .int32, .int64].contains(tensor.dtype) else { return }
    let stem = name.hasSuffix(".weight") ? String(name.dropLast(7)) : name
    let ends = ["_scale", "_scale_inv", ".absmax", ".quant_map"].map { name + $0 }
    guard let scale = (ends + [".scale", ".scales", ".SCB"].map { stem + $0 }).first(where: source.contains) else {
      return
    }
    throw RetortError(
      .input, "tensor \(name) is quantised (\(tensor.dtype.rawValue), with \(scale)): such weights are not read",
      at: tensor.file, remedy: "take the model's weights in F32, BF16 or F16")
  }

  /// The remedy for missing tensors; adapters and quantised weights are recognised by their names.
  private static func remedy(_ source: any WeightSource, _ configuration: ModelConfiguration) -> String {
    if let name = source.names.first(where: { $0.contains(".lora_") || $0.contains(".base_layer.") }) {
      return "the file holds an adapter (\(name)): merge it into its model and save that"
    }
    if let name = source.names.first(where: { $0.hasSuffix(".qweight") || $0.hasSuffix("weight_packed") }) {
      return "the weights are quantised (\(name)): take the model's weights in F32, BF16 or F16"
    }
    return "check that the file is a \(configuration.family.rawValue) checkpoint"
  }

  /// With layers [0, 2, 4] "bert.encoder.layer.1.…" is the teacher's "bert.encoder.layer.2.…".
  private static func renameLayer(_ name: String, _ layers: [Int], behind marker: String) -> String {
    guard let range = name.range(of: marker) else { return name }
    let rest = name[range.upperBound...]
    let digits = rest.prefix { $0.isNumber }
    guard let index = Int(digits), layers.indices.contains(index) else { return name }
    return name[..<range.upperBound] + "\(layers[index])" + rest.dropFirst(digits.count)
  }
}
