/// The flat buffer of the student's weights, in reverse order and cut into buckets, as Training's `FlatParameters` lays
/// it out.
///
/// Tensors begin at multiples of 16 elements. A bucket ends when it reaches its size, or with sharded weights at the
/// end of a block, and is padded to a multiple of 16 elements per rank. Lookup tables are not in the buffer.
package struct FlatLayout: Sendable, Equatable {
  /// Elements of each bucket.
  package let buckets: [Int]
  /// With sharded weights, the bucket of each block's own weights; nil for a block without weights.
  let bucketOfBlock: [Int?]

  /// Lays out a model's weights for a number of ranks.
  package init(_ model: any NetworkSizes, ranks: Int, bucketBytes: Int, _ sharding: Layout.Sharding = .optimizer) {
    let unit = 16
    let tensors = Array(model.tensors.filter { !$0.isLookup }.reversed())
    var buckets: [Int] = []
    var ofBlock = [Int?](repeating: nil, count: model.layerCount + 2)
    var size = 0
    for (index, tensor) in tensors.enumerated() {
      size = (size + tensor.count + unit - 1) / unit * unit
      ofBlock[tensor.block] = buckets.count
      let isLast = index == tensors.count - 1
      let isFull =
        sharding == .parameters ? !isLast && tensors[index + 1].block != tensor.block : size * 4 >= bucketBytes
      guard isFull || isLast else { continue }
      buckets.append((size + ranks * unit - 1) / (ranks * unit) * unit * ranks)
      size = 0
    }
    self.buckets = buckets
    bucketOfBlock = ofBlock
  }

  /// Elements of the buffer.
  package var count: Int { buckets.reduce(0, +) }
  /// Elements of the largest buckets together.
  package func largest(_ count: Int) -> Int { buckets.sorted(by: >).prefix(count).reduce(0, +) }

  /// The buckets that each block reads: its own, and for a tied head also the first block's.
  private func bucketsRead(isTied: Bool) -> [Set<Int>] {
    bucketOfBlock.enumerated().map { block, own in
      let tied = isTied && block == bucketOfBlock.count - 1 ? bucketOfBlock[0] : nil
      return Set([own, tied].compactMap { $0 })
    }
  }

  /// With sharded weights, the elements that the passes of a step gather, and the most that are present at a time: a
  /// block's weights are requested when the pass enters the block before it, and released when it enters the next one.
  func visits(passes: Int, isTied: Bool) -> (gathered: Int, present: Int) {
    let read = bucketsRead(isTied: isTied)
    let forward = Array(read.indices)
    let route = forward + forward.reversed()
    var here: Set<Int> = []
    var (gathered, most) = (0, 0)
    for _ in 0..<passes {
      for (place, block) in route.enumerated() {
        let next = route[place...].first { $0 != block }
        let wanted = read[block].union(next.map { read[$0] } ?? [])
        gathered += wanted.subtracting(here).reduce(0) { $0 + buckets[$1] }
        here = wanted
        most = max(most, here.reduce(0) { $0 + buckets[$1] })
      }
    }
    return (gathered, most)
  }
}
