import Autograd
import Tensors

/// The sequences of a pass and the positions of its tokens.
package struct TokenPlaces: Sendable {
  /// The start of each sequence, then the number of tokens, [B+1].
  package let offsets: [Int32]
  /// The position of each token in its sequence, [T].
  package let positions: [Int32]

  /// The positions of T tokens in B sequences.
  package init(offsets: [Int32], positions: [Int32]) {
    self.offsets = offsets
    self.positions = positions
  }
}

/// Causal self-attention; groups of query heads share key and value heads (Ainslie et al., 2023).
package struct CausalAttention {
  /// Queries, then keys, then values: [T, hidden] ↦ [T, (H + 2·H_kv)·D].
  package let projection: Linear
  /// The output projection, [T, H·D] ↦ [T, hidden].
  package let output: Linear
  /// H, the query heads of this tensor-parallel shard.
  package let heads: Int
  /// H_kv, a divisor of H.
  package let keyValueHeads: Int
  /// D.
  package let headSize: Int
  /// The rotary angles, D/2 per position; nil: queries and keys are not rotated.
  package let rotary: RotaryTable?
  /// The number of tokens that a token attends to, itself included; nil: all earlier ones.
  package let window: Int?
  /// The factor of q·k; nil: 1/√D.
  package let scale: Float?
  /// The norms of the heads of queries and keys; nil: none.
  package let norm: HeadNorm?
  /// Dropout on the attention probabilities in training, 0 ..< 1.
  package let dropoutProbability: Float

  /// Creates the projections with zeros.
  ///
  /// - Parameters:
  ///   - heads: the query heads of this tensor-parallel shard.
  ///   - hasBias: whether the projection of queries, keys and values has a bias.
  ///   - hasOutputBias: whether this shard adds the output projection's bias, which one shard of the group does.
  package init(
    _ name: String, hidden: Int, heads: Int, keyValueHeads: Int, headSize: Int, rotary: RotaryTable? = nil,
    window: Int? = nil, scale: Float? = nil, norm: HeadNorm? = nil, hasBias: Bool = false,
    hasOutputBias: Bool = false, dropout: Float = 0
  ) {
    precondition(rotary.map { $0.headSize == headSize } ?? true, "rotary angles for another size than \(headSize)")
    projection = Linear(
      "\(name).projection", inputs: hidden, outputs: (heads + 2 * keyValueHeads) * headSize, hasBias: hasBias)
    output = Linear("\(name).output", inputs: heads * headSize, outputs: hidden, hasBias: hasOutputBias)
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headSize = headSize
    self.rotary = rotary
    self.window = window
    self.scale = scale
    self.norm = norm
    dropoutProbability = dropout
  }

  /// The projection's weights, those of the norms, then the output's.
  package var parameters: [Parameter] {
    projection.parameters + (norm?.parameters ?? []) + output.parameters
  }

  /// An empty KV cache for one sequence; it grows beyond the capacity.
  package func cache(capacity: Int) -> KVCache {
    KVCache(width: keyValueHeads * headSize, capacity: capacity)
  }

  /// The output projection of attention in float32, [T, hidden], summed over tensor-parallel shards.
  ///
  /// - Parameters:
  ///   - layer: the number of the layer in the whole model, counted from 1.
  ///   - cache: the KV cache of the earlier tokens, if x continues one sequence.
  package func callAsFunction(
    _ x: Variable, layer: Int, at places: TokenPlaces, after cache: KVCache? = nil, _ context: ForwardContext
  ) -> Variable {
    var projected = projection(x, context)
    if let norm { projected = norm(projected, heads: heads, keyValueHeads: keyValueHeads, context) }
    if let rotary {
      projected = context.tape.rotary(
        projected, heads: heads + keyValueHeads, positions: places.positions, rotary)
    }
    context.observe(.projections(layer), projected)
    let options = AttentionOptions(
      heads: heads, keyValueHeads: keyValueHeads, headSize: headSize, isCausal: true,
      reach: window.map { $0 - 1 }, scale: scale,
      dropout: context.nextDropout(dropoutProbability))
    let attended =
      cache.map { context.tape.attention(projected, after: $0, options) }
      ?? context.tape.attention(projected, offsets: places.offsets, options)
    return context.summed(output.wide(attended, context))
  }
}
