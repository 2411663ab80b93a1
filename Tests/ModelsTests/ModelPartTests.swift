import Tensors
import Testing

@testable import Models

@Suite struct ModelPartTests {
  /// The largest stage of a cut.
  private func largest(_ blocks: [Int], _ ends: [Int]) -> Int {
    let starts = [0] + ends.dropLast()
    return zip(starts, ends).enumerated().map { stage, layers in
      blocks[1 + layers.0..<1 + layers.1].reduce(0, +) + (stage == 0 ? blocks[0] : 0)
        + (stage == ends.count - 1 ? blocks[blocks.count - 1] : 0)
    }.max() ?? 0
  }

  /// All cuts of `layers` into so many stages, the last of which has a layer.
  private func cuts(_ layers: Int, _ stages: Int, from start: Int = 0) -> [[Int]] {
    if stages == 1 { return start < layers ? [[layers]] : [] }
    return (start..<layers).flatMap { end in cuts(layers, stages - 1, from: end).map { [end] + $0 } }
  }

  @Test func `no other cut has a smaller largest stage`() {
    var random = RandomStream(seed: 4, purpose: "cuts")
    for _ in 0..<200 {
      let layers = 1 + random.below(7)
      let blocks = (0..<layers + 2).map { $0 == 0 || $0 > layers ? random.below(90) : 1 + random.below(20) }
      for stages in 1...layers {
        let ends = ModelPart.balancedEnds(blocks, stages: stages)
        let possible = cuts(layers, stages)
        #expect(possible.contains(ends), "\(ends) of \(layers) layers")
        #expect(largest(blocks, ends) == possible.map { largest(blocks, $0) }.min(), "\(blocks) in \(stages)")
      }
    }
  }
}
