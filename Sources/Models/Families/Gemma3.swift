import Datasets
import Platform

/// Gemma 3 for text (Kamath et al., 2025): norms with scale 1 + γ before and after attention and feed-forward layer,
/// norms of heads, embeddings scaled by √hidden, and windows with a rotary base of their own in most layers.
struct Gemma3: DecoderFamily {
  let name = "gemma3_text"
  let architecture = "Gemma3ForCausalLM"

  /// A classifier of text has a class beside that of text and images.
  func architecture(with head: TaskDefinition.Head) -> String {
    head == .sequence ? "Gemma3TextForSequenceClassification" : architecture
  }

  var traits: DecoderTraits {
    var traits = DecoderTraits()
    traits.keys.activation = "hidden_activation"
    (traits.vocabulary, traits.hidden, traits.intermediate, traits.layers) = (262_208, 2304, 9216, 26)
    (traits.heads, traits.keyValueHeads, traits.headSize, traits.positions) = (8, 4, 256, 131_072)
    (traits.isTied, traits.activation, traits.biases) = (true, .geluTanh, .attentionKey)
    (traits.norm, traits.hasPostNorms, traits.normalizesHeads, traits.scalesEmbeddings) = (
      .shiftedRMS, true, true, true
    )
    traits.names.feedForwardNorm = "pre_feedforward_layernorm"
    traits.unbuilt["attn_logit_softcapping"] = []
    traits.unbuilt["final_logit_softcapping"] = []
    traits.unbuilt["use_bidirectional_attention"] = [false]
    traits.layerKinds = { configuration, sizes in
      let full = try RotaryScaling(
        configuration, of: "full_attention", thetaKey: "rope_theta", base: 1_000_000, isScaled: true)
      let local = try RotaryScaling(
        configuration, of: "sliding_attention", thetaKey: "rope_local_base_freq", base: 10_000, isScaled: false)
      let window = try configuration.window(default: 4096, context: sizes.context)
      let scale = try Gemma3.scale(configuration, sizes.headSize)
      return try Gemma3.layerTypes(configuration, sizes.layers).map {
        $0 == "sliding_attention"
          ? DecoderLayerKind(rotary: local, window: window, scale: scale) : DecoderLayerKind(rotary: full, scale: scale)
      }
    }
    traits.layerLists = { ["layer_types": try Gemma3.layerTypes($0, $1)] }
    return traits
  }

  /// `layer_types`; without it every sixth layer, or every `sliding_window_pattern`-th, attends to all tokens.
  private static func layerTypes(_ configuration: ModelConfiguration, _ count: Int) throws -> [JSON] {
    let pattern = try configuration.size("sliding_window_pattern", default: 6)
    return try configuration.layerTypes(count, default: (1...count).map { $0 % pattern != 0 })
  }

  /// 1/√`query_pre_attn_scalar`; nil where that is the size of a head.
  private static func scale(_ configuration: ModelConfiguration, _ headSize: Int) throws -> Float? {
    let scalar = try configuration.number("query_pre_attn_scalar", default: 256, in: 1e-6...1e6)
    return scalar == Float(headSize) ? nil : 1 / scalar.squareRoot()
  }
}

extension ModelFamily {
  /// `gemma3_text`.
  package static let gemma3 = ModelFamily(Gemma3())
}
