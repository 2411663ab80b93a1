/// The part of a model that one of several ranks holds: some of its layers, and a slice of each.
///
///     stages (pipeline)     | embeddings, layers 0 1 2 | layers 3 4 5 | layers 6 7, head |    stage 0, 1, 2 of 3
///     slices (tensor)       of each layer: some heads, some inner units, some of the vocabulary
public struct ModelPart: Sendable, Hashable {
  /// Which of the `stages`, counted from the embeddings.
  public let stage: Int
  /// Pipeline stages; 1: all layers are here.
  public let stages: Int
  /// Which of the `slices`.
  public let slice: Int
  /// Tensor-parallel slices; 1: layers are here as a whole.
  public let slices: Int

  /// Everything.
  public static let whole = ModelPart()

  /// The part at these two places; all counts are at least 1, all places below their count.
  public init(stage: Int = 0, of stages: Int = 1, slice: Int = 0, of slices: Int = 1) {
    precondition((0..<stages).contains(stage) && (0..<slices).contains(slice), "no such part of a model")
    self.stage = stage
    self.stages = stages
    self.slice = slice
    self.slices = slices
  }

  /// Whether the part has the embeddings.
  public var hasEmbeddings: Bool { stage == 0 }
  /// Whether the part has what stands behind the layers.
  public var hasHead: Bool { stage == stages - 1 }
  /// Whether nothing is missing.
  public var isWhole: Bool { stages == 1 && slices == 1 }

  /// The layers that are here, of `count`: stages differ by at most one layer, and the first ones have fewer, since
  /// embeddings and head cost as well.
  public func layers(of count: Int) -> Range<Int> { count * stage / stages..<count * (stage + 1) / stages }

  /// This slice's share of `count` things (heads, inner units, tokens of the vocabulary): shares differ by at most one.
  public func share(of count: Int) -> Range<Int> { count * slice / slices..<count * (slice + 1) / slices }
}
