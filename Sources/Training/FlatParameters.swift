import Autograd
import Optimizers
import Tensors

/// All weights of a student in one buffer, all gradients in another, cut into the buckets in which they travel.
///
///     buffer   | last layer … | …            | … embeddings |  the order in which gradients become complete
///     buckets  |   bucket 0   |   bucket 1   |   bucket 2   |  each a multiple of 16 elements for every rank
///     rank 1   |   [====]     |   [====]     |   [====]     |  of 3: its block of every bucket
public final class FlatParameters {
  /// In the order of the buffer: the parameter used last in the forward pass stands first.
  public let parameters: [Parameter]
  /// Where each of them lies.
  public let ranges: [Range<Int>]
  /// Weights, [count].
  public let values: Tensor
  /// Gradients, [count].
  public let gradients: Tensor
  /// Consecutive parts that cover the buffer.
  public let buckets: [Range<Int>]
  /// Ranks that share the buffer.
  public let ranks: Int

  /// Moves the parameters' values into the buffer and gives each its gradient.
  ///
  /// - Parameters:
  ///   - parameters: in the order of the forward pass.
  ///   - bucketBytes: a bucket is closed when it reaches this size.
  public init(_ parameters: [Parameter], ranks: Int, bucketBytes: Int) {
    let ordered = Array(parameters.reversed())
    let unit = 16  // floats in a cache line, so that every tensor and every block starts on one
    var ranges: [Range<Int>] = []
    var buckets: [Range<Int>] = []
    var position = 0
    var start = 0
    for (index, parameter) in ordered.enumerated() {
      ranges.append(position..<position + parameter.count)
      position = (position + parameter.count + unit - 1) / unit * unit
      if (position - start) * 4 >= bucketBytes || index == ordered.count - 1 {
        let block = (position - start + ranks * unit - 1) / (ranks * unit) * unit
        position = start + block * ranks
        buckets.append(start..<position)
        start = position
      }
    }
    self.parameters = ordered
    self.ranges = ranges
    self.buckets = buckets
    self.ranks = ranks
    values = .zeros([position])
    gradients = .zeros([position])
    for (parameter, range) in zip(ordered, ranges) {
      let place = values.slice(at: range.lowerBound, parameter.shape)
      place.update(from: parameter.value)
      parameter.value = place
      parameter.gradient = gradients.slice(at: range.lowerBound, parameter.shape)
    }
  }

  public var count: Int { values.count }

  /// The block of each bucket that a rank owns.
  public func ownedRanges(rank: Int) -> [Range<Int>] {
    buckets.map { bucket in
      let block = bucket.count / ranks
      let start = bucket.lowerBound + rank * block
      return start..<start + block
    }
  }

  /// The owned elements cut where decay begins or ends; they cover the owned ranges without gaps.
  func segments(rank: Int) -> [ParameterSegment] {
    var segments: [ParameterSegment] = []
    func add(_ range: Range<Int>, _ decays: Bool) {
      if range.isEmpty { return }
      if let last = segments.last, last.decays == decays, last.range.upperBound == range.lowerBound {
        segments[segments.count - 1] = ParameterSegment(range: last.range.lowerBound..<range.upperBound, decays: decays)
      } else {
        segments.append(ParameterSegment(range: range, decays: decays))
      }
    }
    for owned in ownedRanges(rank: rank) {
      var position = owned.lowerBound
      for (parameter, range) in zip(parameters, ranges) {
        let part = range.clamped(to: owned)
        if part.isEmpty { continue }
        add(position..<part.lowerBound, false)  // padding: its gradients are zero
        add(part, parameter.decays)
        position = part.upperBound
      }
      add(position..<owned.upperBound, false)
    }
    return segments
  }
}
