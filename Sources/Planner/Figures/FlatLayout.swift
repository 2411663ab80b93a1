/// The student's weights as they travel: in one buffer, the last first, cut into buckets.
///
/// Tensors begin at multiples of 16 elements, a bucket is closed when it reaches its size and filled up to a multiple
/// of 16 elements for each rank, as `FlatParameters` in Training does it. Tables that are read by row are not in it.
public struct FlatLayout: Sendable, Equatable {
  /// Elements of each bucket.
  public let buckets: [Int]

  /// The buckets of a model on so many ranks.
  public init(_ model: any NetworkSizes, ranks: Int, bucketBytes: Int) {
    let unit = 16
    let tensors = model.tensors.filter { !$0.isLookup }
    var buckets: [Int] = []
    var size = 0
    for (index, tensor) in tensors.reversed().enumerated() {
      size = (size + tensor.count + unit - 1) / unit * unit
      guard size * 4 >= bucketBytes || index == tensors.count - 1 else { continue }
      buckets.append((size + ranks * unit - 1) / (ranks * unit) * unit * ranks)
      size = 0
    }
    self.buckets = buckets
  }

  /// Elements of the buffer.
  public var count: Int { buckets.reduce(0, +) }
  /// Elements of the largest bucket.
  public var largest: Int { buckets.max() ?? 0 }
}
