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

/// Causal self-attention with rotary positions; groups of query heads share key and value heads (Ainslie et al., 2023).
package struct RotaryAttention {
  /// Queries, then keys, then values: [T, hidden] ↦ [T, (H + 2·H_kv)·D].
  package let projection: Linear
  /// The output projection, [T, H·D] ↦ [T, hidden].
  package let output: Linear
  /// H, the query heads of this tensor-parallel shard.
  package let heads: Int
  /// H_kv, a divisor of H.
  package let keyValueHeads: Int
  /// The rotary angles, D/2 per position.
  package let rotary: RotaryTable

  /// Creates the projections with zeros.
  ///
  /// - Parameters:
  ///   - heads: the query heads of this tensor-parallel shard.
  ///   - hasBias: whether the projection of queries, keys and values has a bias.
  ///   - hasOutputBias: whether this shard adds the output projection's bias, which one shard of the group does.
  package init(
    _ name: String, hidden: Int, heads: Int, keyValueHeads: Int, rotary: RotaryTable, hasBias: Bool = false,
    hasOutputBias: Bool = false
  ) {
    let size = rotary.headSize
    projection = Linear(
      "\(name).projection", inputs: hidden, outputs: (heads + 2 * keyValueHeads) * size, hasBias: hasBias)
    output = Linear("\(name).output", inputs: heads * size, outputs: hidden, hasBias: hasOutputBias)
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.rotary = rotary
  }

  /// D.
  package var headSize: Int { rotary.headSize }

  /// The projection's weights, then the output's.
  package var parameters: [Parameter] { projection.parameters + output.parameters }

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
    let rotated = context.tape.rotary(
      projection(x, context), heads: heads + keyValueHeads, positions: places.positions, rotary)
    context.observe(.projections(layer), rotated)
    let options = AttentionOptions(heads: heads, keyValueHeads: keyValueHeads, headSize: headSize, isCausal: true)
    let attended =
      cache.map { context.tape.attention(rotated, after: $0, options) }
      ?? context.tape.attention(rotated, offsets: places.offsets, options)
    return context.summed(output.wide(attended, context))
  }
}
