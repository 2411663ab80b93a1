/// The student's weights as they travel: in one buffer, the last first, cut into buckets.
///
/// Tensors begin at multiples of 16 elements. A bucket is closed when it reaches its size, or at the border of a block
/// where weights are divided, and is filled up to a multiple of 16 elements for each rank: as Training's
/// `FlatParameters` does it. Tables that are read by row are not in it.
public struct FlatLayout: Sendable, Equatable {
  /// Elements of each bucket.
  public let buckets: [Int]
  /// The bucket of each block's own weights, where weights are divided; nil for a block without any.
  let bucketOfBlock: [Int?]

  /// The buckets of a model on so many ranks.
  public init(_ model: any NetworkSizes, ranks: Int, bucketBytes: Int, _ sharding: Layout.Sharding = .optimizer) {
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
  public var count: Int { buckets.reduce(0, +) }
  /// Elements of the largest bucket.
  public var largest: Int { buckets.max() ?? 0 }

  /// The buckets that each block reads: its own, and the first block's where the head is tied to it.
  private func bucketsRead(isTied: Bool) -> [Set<Int>] {
    bucketOfBlock.enumerated().map { block, own in
      let tied = isTied && block == bucketOfBlock.count - 1 ? bucketOfBlock[0] : nil
      return Set([own, tied].compactMap { $0 })
    }
  }

  /// Elements of weights that come in the passes of a step, and the most that are there at a time, where weights are
  /// divided: a block's are asked for when the pass enters the one before it, and let go when it has entered the next.
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
