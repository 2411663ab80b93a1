/// Mistral 7B (Jiang et al., 2023): Llama with a window in all layers.
struct Mistral: DecoderFamily {
  let name = "mistral"
  let architecture = "MistralForCausalLM"

  var traits: DecoderTraits {
    var traits = DecoderTraits()
    (traits.intermediate, traits.positions, traits.keyValueHeads) = (14_336, 131_072, 8)
    traits.layerKinds = { configuration, sizes in
      let window = try configuration.window(default: 4096, context: sizes.context)
      return try configuration.rotaryLayers(windows: Array(repeating: window, count: sizes.layers))
    }
    traits.layerLists = { _, _ in [:] }
    return traits
  }
}

extension ModelFamily {
  /// `mistral`.
  package static let mistral = ModelFamily(Mistral())
}
