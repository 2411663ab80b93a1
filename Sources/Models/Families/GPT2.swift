import Platform

/// GPT-2 (Radford et al., 2019): learned positions, layer norms, no gate, queries, keys and values in one matrix, and
/// matrices stored as [inputs, outputs].
struct GPT2: DecoderFamily {
  let name = "gpt2"
  let architecture = "GPT2LMHeadModel"

  var traits: DecoderTraits {
    var traits = DecoderTraits()
    traits.keys = DecoderTraits.Keys(
      hidden: "n_embd", layers: "n_layer", heads: "n_head", intermediate: "n_inner", positions: "n_positions",
      epsilon: "layer_norm_epsilon", activation: "activation_function")
    traits.dropoutKeys = DecoderTraits.DropoutKeys(
      attention: "attn_pdrop", residual: "resid_pdrop", embedding: "embd_pdrop", fallback: 0.1)
    (traits.vocabulary, traits.hidden, traits.layers, traits.heads) = (50_257, 768, 12, 12)
    (traits.positions, traits.intermediate, traits.epsilon) = (1024, nil, 1e-5)
    (traits.hasGroups, traits.readsHeadSize) = (false, false)
    (traits.activation, traits.norm, traits.isGated) = (.geluTanh, .layer, false)
    (traits.isTied, traits.hasLearnedPositions, traits.scalesInitialOutputs) = (true, true, true)
    traits.biases = [.projections, .output, .feedForward]
    traits.unbuilt["add_cross_attention"] = [false]
    traits.names.prefix = "transformer."
    (traits.names.words, traits.names.positions, traits.names.layers) = ("wte", "wpe", "h.")
    (traits.names.attentionNorm, traits.names.feedForwardNorm, traits.names.norm) = ("ln_1", "ln_2", "ln_f")
    (traits.names.projection, traits.names.attentionOutput) = ("attn.c_attn", "attn.c_proj")
    (traits.names.up, traits.names.down, traits.names.isTransposed) = ("mlp.c_fc", "mlp.c_proj", true)
    traits.layerKinds = { configuration, sizes in
      let isScaled = try configuration.flag("scale_attn_weights", default: true)
      let isSmaller = try configuration.flag("scale_attn_by_inverse_layer_idx", default: false)
      let scale = isScaled ? 1 / Float(sizes.headSize).squareRoot() : 1
      return (1...sizes.layers).map { layer in
        DecoderLayerKind(scale: isSmaller ? scale / Float(layer) : isScaled ? nil : scale)
      }
    }
    traits.layerLists = { _, _ in [:] }
    return traits
  }
}

extension ModelFamily {
  /// `gpt2`.
  package static let gpt2 = ModelFamily(GPT2())
}
