import Platform

/// SmolLM 3 (Bakouche et al., 2025): Llama, some of whose layers do not rotate queries and keys (Yang et al., 2025).
struct SmolLM3: DecoderFamily {
  let name = "smollm3"
  let architecture = "SmolLM3ForCausalLM"

  var traits: DecoderTraits {
    var traits = DecoderTraits()
    (traits.vocabulary, traits.hidden, traits.intermediate, traits.layers) = (128_256, 2048, 11_008, 36)
    (traits.heads, traits.keyValueHeads, traits.positions) = (16, 4, 32_768)
    traits.isTied = true
    traits.biases = [.attentionKey, .feedForwardKey]
    traits.layerKinds = { configuration, sizes in
      let rotary = try RotaryScaling(configuration, base: 2_000_000)
      let turned = try SmolLM3.rotaryLayers(configuration, sizes.layers)
      let window = try SmolLM3.window(configuration).flatMap { $0 < sizes.context ? $0 : nil }
      return try zip(turned, SmolLM3.layerTypes(configuration, turned)).map { isTurned, kind in
        DecoderLayerKind(rotary: isTurned ? rotary : nil, window: kind == "sliding_attention" ? window : nil)
      }
    }
    traits.layerLists = { configuration, count in
      let turned = try SmolLM3.rotaryLayers(configuration, count)
      return [
        "no_rope_layers": turned.map { .int($0 ? 1 : 0) },
        "layer_types": try SmolLM3.layerTypes(configuration, turned),
      ]
    }
    return traits
  }

  /// `no_rope_layers`, 1 for each layer that rotates; without it every `no_rope_layer_interval`-th layer does not.
  private static func rotaryLayers(_ configuration: ModelConfiguration, _ count: Int) throws -> [Bool] {
    guard let value = configuration.json["no_rope_layers"], !value.isNull else {
      let interval = try configuration.size("no_rope_layer_interval", default: 4)
      return (1...count).map { $0 % interval != 0 }
    }
    let listed = value.array?.compactMap { $0.int ?? $0.bool.map { $0 ? 1 : 0 } }
    guard let listed, listed.count >= count, listed.count == value.array?.count else {
      throw RetortError(
        .input, "no_rope_layers is \(value.text()), a 1 or 0 for each of \(count) layers was expected",
        at: configuration.source)
    }
    return listed.prefix(count).map { $0 != 0 }
  }

  /// `sliding_window` if `use_sliding_window` is set.
  private static func window(_ configuration: ModelConfiguration) throws -> Int? {
    try configuration.flag("use_sliding_window", default: false)
      ? configuration.window(default: nil, context: .max) : nil
  }

  /// Without `layer_types` the layers that do not rotate have the window.
  private static func layerTypes(_ configuration: ModelConfiguration, _ turned: [Bool]) throws -> [JSON] {
    let isWindowed = try window(configuration) != nil
    return try configuration.layerTypes(turned.count, default: turned.map { isWindowed && !$0 })
  }
}

extension ModelFamily {
  /// `smollm3`.
  package static let smolLM3 = ModelFamily(SmolLM3())
}
