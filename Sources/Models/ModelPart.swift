/// The part of a model that one rank of a group holds: a pipeline stage, and a tensor-parallel shard of its layers.
///
///     stages (pipeline)     | embeddings, layers 0 1 2 | layers 3 4 5 | layers 6 7, head |    stage 0, 1, 2 of 3
///     shards (tensor)       of each layer: some heads, some inner units, some of the vocabulary
package struct ModelPart: Sendable, Hashable {
  /// The pipeline stage, counted from the embeddings.
  package let stage: Int
  /// The number of pipeline stages; 1: the part has all layers.
  package let stages: Int
  /// The tensor-parallel shard.
  package let shard: Int
  /// The number of tensor-parallel shards; 1: layers are whole.
  package let shards: Int

  /// The end of each stage's layers; nil if the stages are as equal as possible.
  private let stageEnds: [Int]?

  /// The whole model.
  package static let whole = ModelPart()

  /// The part with this stage and shard; all counts are at least 1, and each index is below its count.
  ///
  /// - Parameter stageEnds: the layer after the last one of each stage; nil: layers are divided evenly.
  package init(stage: Int = 0, of stages: Int = 1, shard: Int = 0, of shards: Int = 1, stageEnds: [Int]? = nil) {
    precondition((0..<stages).contains(stage) && (0..<shards).contains(shard), "no such part of a model")
    precondition(stageEnds.map { $0.count == stages } ?? true, "\(stageEnds ?? []) for \(stages) stages")
    self.stageEnds = stageEnds
    self.stage = stage
    self.stages = stages
    self.shard = shard
    self.shards = shards
  }

  /// Whether the part has the embeddings.
  package var hasEmbeddings: Bool { stage == 0 }
  /// Whether the part has the head.
  package var hasHead: Bool { stage == stages - 1 }
  /// Whether the part is the whole model.
  package var isWhole: Bool { stages == 1 && shards == 1 }

  /// The part's layers, of `count`: those of the given stage ends, or an even division where stages differ by at most
  /// one layer.
  package func layers(of count: Int) -> Range<Int> {
    if let stageEnds { return (stage == 0 ? 0 : stageEnds[stage - 1])..<stageEnds[stage] }
    return count * stage / stages..<count * (stage + 1) / stages
  }

  /// The shard's share of `count` heads, inner units or tokens of the vocabulary; shares differ by at most one.
  package func share(of count: Int) -> Range<Int> { count * shard / shards..<count * (shard + 1) / shards }
}

extension ModelPart {
  /// The stage ends for which the largest stage has the fewest weights, embeddings and head included.
  ///
  /// - Parameters:
  ///   - blocks: the number of weights of each block in `Model.blocks`: embeddings, layers, head.
  ///   - stages: at most the number of layers; the last stage has at least one layer, since one rank must have both the
  ///     last layer and the head.
  package static func balancedEnds(_ blocks: [Int], stages: Int) -> [Int] {
    let layers = blocks.count - 2
    precondition(stages >= 1 && stages <= max(1, layers), "\(stages) stages for \(layers) layers")
    let sums = blocks.dropFirst().dropLast().reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
    func weight(_ stage: Int, _ layers: Range<Int>) -> Int {
      sums[layers.upperBound] - sums[layers.lowerBound] + (stage == 0 ? blocks[0] : 0)
        + (stage == stages - 1 ? blocks[blocks.count - 1] : 0)
    }
    // best[end]: for the stages so far with the layers below `end`, the largest weight, then Σ weight², and the ends.
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
