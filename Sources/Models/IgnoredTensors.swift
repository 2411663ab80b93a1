/// Summarises the tensors of a checkpoint that the model ignores, if that may change its answers.
enum IgnoredTensors {
  /// Whether the tensor is a buffer that follows from the configuration or part of a pre-training head; every reader
  /// ignores these.
  static func isHarmless(_ name: String) -> Bool {
    let endings = [
      "position_ids", "token_type_ids", "rotary_emb.inv_freq", "attn.bias", "masked_bias",
      "num_batches_tracked", "rotary_emb.cos_cached", "rotary_emb.sin_cached",
    ]
    return endings.contains { name == $0 || name.hasSuffix("." + $0) } || name.hasPrefix("cls.")
      || name == "embeddings.position_ids"
  }

  /// One line that summarises the names, or nil if all are harmless.
  ///
  /// - Parameters:
  ///   - marker: the text before the number of a layer.
  ///   - layers: the number of layers of the model; nil if its layers are not those of the file.
  static func summary(_ names: [String], marker: String, layers: Int?) -> String? {
    let names = names.filter { !isHarmless($0) }
    if names.isEmpty { return nil }
    var beyond: [Int: Int] = [:]
    // From the name with * instead of its layer's number to the layers that have it.
    var kinds: [String: [Int]] = [:]
    for name in names {
      guard let range = name.firstRange(of: marker),
        let layer = Int(name[range.upperBound...].prefix { $0.isNumber })
      else {
        kinds[name, default: []] += []
        continue
      }
      if let layers, layer >= layers {
        beyond[layer, default: 0] += 1
      } else {
        let rest = name[range.upperBound...].drop { $0.isNumber }
        kinds[name[..<range.upperBound] + "*" + rest, default: []].append(layer)
      }
    }
    var parts: [String] = []
    if let first = beyond.keys.min(), let last = beyond.keys.max(), let layers {
      let which = first == last ? "layer \(first)" : "layers \(first) to \(last)"
      parts.append("\(which) (the configuration has \(layers) layers)")
    }
    let listed = kinds.sorted { $0.key < $1.key }
    parts += listed.prefix(6).map { $0.value.count > 1 ? "\($0.key) (\($0.value.count))" : single($0.key, $0.value) }
    if listed.count > 6 { parts.append("and \(listed.count - 6) other names") }
    let count = names.count == 1 ? "1 tensor that has" : "\(names.count) tensors that have"
    return "ignored \(count) no place in the model: \(parts.joined(separator: ", "))"
  }

  private static func single(_ pattern: String, _ layers: [Int]) -> String {
    guard let layer = layers.first, let star = pattern.firstIndex(of: "*") else { return pattern }
    return pattern[..<star] + "\(layer)" + pattern[pattern.index(after: star)...]
  }
}
