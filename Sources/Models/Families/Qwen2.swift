/// Qwen 2 (Yang et al., 2024): Llama with biases of queries, keys and values, and windows on request.
struct Qwen2: DecoderFamily {
  let name = "qwen2"
  let architecture = "Qwen2ForCausalLM"

  var traits: DecoderTraits {
    var traits = DecoderTraits()
    (traits.vocabulary, traits.intermediate, traits.positions) = (151_936, 22_016, 32_768)
    traits.biases = .projections
    traits.layerKinds = { try $0.rotaryLayers(windows: $0.requestedWindows($1)) }
    traits.layerLists = { try $0.requestedLayerTypes($1) }
    return traits
  }
}

extension ModelFamily {
  /// `qwen2`.
  package static let qwen2 = ModelFamily(Qwen2())
}
