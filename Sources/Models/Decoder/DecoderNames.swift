/// The names of a decoder's tensors in a checkpoint of its family, without `.weight` and `.bias`.
package struct DecoderNames: Sendable, Equatable {
  /// Precedes the names of the body; missing in checkpoints of a bare decoder.
  var prefix = "model."
  var words = "embed_tokens"
  /// Learned positions, for a family that has them.
  var positions = "embed_positions"
  /// Precedes the number of a layer.
  var layers = "layers."
  var attentionNorm = "input_layernorm"
  var (query, key, value) = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
  /// Queries, keys and values in one matrix, for a family that has it.
  var projection: String?
  var (queryNorm, keyNorm) = ("self_attn.q_norm", "self_attn.k_norm")
  var attentionOutput = "self_attn.o_proj"
  var postAttentionNorm = "post_attention_layernorm"
  var feedForwardNorm = "post_attention_layernorm"
  /// The gate, up and down projections; a layer without a gate has the last two.
  var (gate, up, down) = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
  var postFeedForwardNorm = "post_feedforward_layernorm"
  var norm = "norm"
  /// Whether the matrices of the layers are stored as [inputs, outputs].
  var isTransposed = false
  /// The head of an untied model, without the prefix.
  var head = "lm_head"

  /// Llama's names.
  package init() {}

  /// The names under which a checkpoint may have a tensor: that of `transformers` first.
  func spellings(_ name: String) -> [String] {
    name.hasPrefix(prefix) ? [name, String(name.dropFirst(prefix.count))] : [name]
  }
}
