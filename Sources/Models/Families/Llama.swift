/// Llama (Touvron et al., 2023).
struct Llama: DecoderFamily {
  let name = "llama"
  let architecture = "LlamaForCausalLM"

  var traits: DecoderTraits {
    var traits = DecoderTraits()
    traits.biases = [.attentionKey, .feedForwardKey]
    return traits
  }
}

extension ModelFamily {
  /// `llama`.
  package static let llama = ModelFamily(Llama())
}
