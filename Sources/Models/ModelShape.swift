/// The sizes of a model with layers that objectives compare.
package struct ModelShape: Sendable, Equatable {
  /// The number of layers of the whole model.
  package var layers: Int
  /// Elements of a token's state.
  package var hidden: Int
  /// H, query heads of a layer.
  package var heads: Int
  /// H_kv, key and value heads of a layer.
  package var keyValueHeads: Int
  /// D, elements of a head.
  package var headSize: Int
  /// Whether a token attends only to itself and to earlier tokens.
  package var isCausal: Bool
  /// Whether it has a pooled output.
  package var hasPooler: Bool
  /// The attention window of each layer: the distance to the farthest token that a token attends to, or nil; empty for
  /// a model without windows.
  package var reaches: [Int?]
  /// The factor of q·k in each layer, or nil for 1/√D; empty for a model where it is that.
  package var scales: [Float?]
  /// Whether attention scores have a term besides those of queries and keys.
  package var hasAttentionBias: Bool

  /// Whether the pooled output is the model's own output, so that it reaches students wherever the model is.
  package var pooledIsOutput: Bool

  /// The sizes of a whole model.
  package init(
    layers: Int, hidden: Int, heads: Int, keyValueHeads: Int, headSize: Int, isCausal: Bool, hasPooler: Bool,
    reaches: [Int?] = [], scales: [Float?] = [], hasAttentionBias: Bool = false, pooledIsOutput: Bool = false
  ) {
    self.layers = layers
    self.hidden = hidden
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headSize = headSize
    self.isCausal = isCausal
    self.hasPooler = hasPooler
    self.reaches = reaches
    self.scales = scales
    self.hasAttentionBias = hasAttentionBias
    self.pooledIsOutput = pooledIsOutput
  }

  /// The sizes if the pooled output is the model's own; otherwise nil.
  package var ifPooledIsOutput: ModelShape? { pooledIsOutput ? self : nil }

  /// The window of layer 1 … L; nil without one.
  package func reach(ofLayer layer: Int) -> Int? { reaches.indices.contains(layer - 1) ? reaches[layer - 1] : nil }

  /// The factor of q·k in layer 1 … L; nil for 1/√D.
  package func scale(ofLayer layer: Int) -> Float? { scales.indices.contains(layer - 1) ? scales[layer - 1] : nil }

  /// Floats of a token's queries, keys and values together.
  package var projectionWidth: Int { (heads + 2 * keyValueHeads) * headSize }
}
