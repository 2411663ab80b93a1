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

  /// Where the layers of each stage end, where that is not as even as it goes.
  private let stageEnds: [Int]?

  /// Everything.
  public static let whole = ModelPart()

  /// The part at these two places; all counts are at least 1, all places below their count.
  ///
  /// - Parameter stageEnds: the layer behind the last one of each stage; nil: layers are shared out evenly.
  public init(stage: Int = 0, of stages: Int = 1, slice: Int = 0, of slices: Int = 1, stageEnds: [Int]? = nil) {
    precondition((0..<stages).contains(stage) && (0..<slices).contains(slice), "no such part of a model")
    precondition(stageEnds.map { $0.count == stages } ?? true, "\(stageEnds ?? []) for \(stages) stages")
    self.stageEnds = stageEnds
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

  /// The layers that are here, of `count`: as the stages' ends say, or shared out so that stages differ by one layer at
  /// most.
  public func layers(of count: Int) -> Range<Int> {
    if let stageEnds { return (stage == 0 ? 0 : stageEnds[stage - 1])..<stageEnds[stage] }
    return count * stage / stages..<count * (stage + 1) / stages
  }

  /// This slice's share of `count` things (heads, inner units, tokens of the vocabulary): shares differ by at most one.
  public func share(of count: Int) -> Range<Int> { count * slice / slices..<count * (slice + 1) / slices }
}

extension ModelPart {
  /// Where stages end so that the largest of them has as few weights as it can, embeddings and head included.
  ///
  /// - Parameters:
  ///   - blocks: the weights of each block, as `Model.blocks` has them: embeddings, layers, what stands behind.
  ///   - stages: at most as many as there are layers; the last one has a layer at least, since a model's last layer and
  ///     what reads it are one rank's.
  public static func balancedEnds(_ blocks: [Int], stages: Int) -> [Int] {
    let layers = blocks.count - 2
    precondition(stages >= 1 && stages <= max(1, layers), "\(stages) stages for \(layers) layers")
    let sums = blocks.dropFirst().dropLast().reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
    func weight(_ stage: Int, _ layers: Range<Int>) -> Int {
      sums[layers.upperBound] - sums[layers.lowerBound] + (stage == 0 ? blocks[0] : 0)
        + (stage == stages - 1 ? blocks[blocks.count - 1] : 0)
    }
    // best[end]: of the stages so far, with layers below `end`: the largest weight, then Σ weight², and the ends.
    typealias Choice = (largest: Int, squares: Double, ends: [Int])
    var best: [Choice?] = (0...layers).map { end in
      let own = weight(0, 0..<end)
      return stages == 1 && end < layers ? nil : (own, Double(own) * Double(own), [end])
    }
    for stage in 1..<stages {
      let isLast = stage == stages - 1
      best = (0...layers).map { end -> Choice? in
        if isLast && end < layers { return nil }
        var found: (largest: Int, squares: Double, start: Int)?
        for start in 0...(isLast ? max(0, end - 1) : end) {
          guard let (largest, squares, _) = best[start] else { continue }
          let own = weight(stage, start..<end)
          let choice = (max(largest, own), squares + Double(own) * Double(own), start)
          if found.map({ (choice.0, choice.1) < ($0.largest, $0.squares) }) ?? true { found = choice }
        }
        return found.flatMap { found in
          best[found.start].map { (found.largest, found.squares, $0.ends + [end]) }
        }
      }
    }
    return best[layers]?.ends ?? [layers]
  }
}
