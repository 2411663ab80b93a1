/// Qwen 3 (Yang et al., 2025): Qwen 2 with norms of the heads of queries and keys, and without biases unless a key asks
/// for them.
struct Qwen3: DecoderFamily {
  let name = "qwen3"
  let architecture = "Qwen3ForCausalLM"

  var traits: DecoderTraits {
    var traits = DecoderTraits()
    (traits.vocabulary, traits.intermediate, traits.positions) = (151_936, 22_016, 32_768)
    (traits.keyValueHeads, traits.headSize) = (32, 128)
    traits.biases = .attentionKey
    traits.normalizesHeads = true
    traits.layerKinds = { try $0.rotaryLayers(windows: $0.requestedWindows($1)) }
    traits.layerLists = { try $0.requestedLayerTypes($1) }
    return traits
  }
}

extension ModelFamily {
  /// `qwen3`.
  package static let qwen3 = ModelFamily(Qwen3())
}
