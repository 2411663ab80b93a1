import Autograd
import Tensors

/// Where the tokens of a pass stand.
public struct TokenPlaces: Sendable {
  /// Where each sequence starts, and the number of tokens at the end, [B+1].
  public let offsets: [Int32]
  /// Place of each token in its own sequence, [T].
  public let positions: [Int32]

  /// The places of T tokens in B sequences.
  public init(offsets: [Int32], positions: [Int32]) {
    self.offsets = offsets
    self.positions = positions
  }
}

/// Causal self-attention with rotary positions, whose query heads share key and value heads in groups (Ainslie et al.,
/// 2023).
public struct RotaryAttention {
  /// Queries, then keys, then values: [T, hidden] ↦ [T, (H + 2·H_kv)·D].
  public let projection: Linear
  /// The output projection, [T, H·D] ↦ [T, hidden].
  public let output: Linear
  /// H, query heads that are here.
  public let heads: Int
  /// H_kv, a divisor of H.
  public let keyValueHeads: Int
  /// The angles; their number is half of D.
  public let rotary: RotaryTable

  /// Makes the projections with zeros.
  ///
  /// - Parameters:
  ///   - heads: those that are here, some of all in a slice of a model.
  ///   - hasBias: of queries, keys and values.
  ///   - hasOutputBias: of the sum over all slices, and so in one of them.
  public init(
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
  public var headSize: Int { rotary.headSize }

  /// The projection's weights, then the output's.
  public var parameters: [Parameter] { projection.parameters + output.parameters }

  /// Room for the keys and values of a sequence; it grows.
  public func memory(capacity: Int) -> KeyValueMemory {
    KeyValueMemory(width: keyValueHeads * headSize, capacity: capacity)
  }

  /// The output projection of attention in float32, [T, hidden], summed over slices.
  ///
  /// - Parameters:
  ///   - layer: the number of the layer in the whole model, counted from 1.
  ///   - memory: of the tokens before those of x, where these continue one sequence.
  public func callAsFunction(
    _ x: Variable, layer: Int, at places: TokenPlaces, after memory: KeyValueMemory? = nil, _ context: ForwardContext
  ) -> Variable {
    let turned = context.tape.rotary(
      projection(x, context), heads: heads + keyValueHeads, positions: places.positions, rotary)
    context.observe(.projections(layer), turned)
    let options = AttentionOptions(heads: heads, keyValueHeads: keyValueHeads, headSize: headSize, isCausal: true)
    let attended =
      memory.map { context.tape.attention(turned, after: $0, options) }
      ?? context.tape.attention(turned, offsets: places.offsets, options)
    return context.summed(output.wide(attended, context))
  }
}
