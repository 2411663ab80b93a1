/// Mistral 7B (Jiang et al., 2023).
struct Mistral: DecoderFamily {
  let name = "mistral"
  let architecture = "MistralForCausalLM"

  var traits: DecoderTraits {
    var traits = DecoderTraits()
    (traits.intermediate, traits.positions, traits.keyValueHeads) = (14_336, 131_072, 8)
    traits.window = .always(4096)
    return traits
  }
}

extension ModelFamily {
  /// `mistral`.
  package static let mistral = ModelFamily(Mistral())
}
