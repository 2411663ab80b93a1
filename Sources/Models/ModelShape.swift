/// The sizes of a model with layers that objectives compare.
public struct ModelShape: Sendable, Equatable {
  /// The number of layers of the whole model.
  public var layers: Int
  /// Elements of a token's state.
  public var hidden: Int
  /// H, query heads of a layer.
  public var heads: Int
  /// H_kv, key and value heads of a layer.
  public var keyValueHeads: Int
  /// D, elements of a head.
  public var headSize: Int
  /// Whether a token attends only to itself and to earlier tokens.
  public var isCausal: Bool
  /// Whether it has a pooled output.
  public var hasPooler: Bool

  /// Floats of a token's queries, keys and values together.
  public var projectionWidth: Int { (heads + 2 * keyValueHeads) * headSize }
}
