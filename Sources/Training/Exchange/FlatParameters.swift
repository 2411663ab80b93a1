import Autograd
import Optimizers
import Tensors

/// All weights of a student in one buffer and all gradients in another, cut into buckets, the units of exchange.
///
///     buffer   | last layer … | …            | … embeddings |  the order in which gradients become complete
///     buckets  |   bucket 0   |   bucket 1   |   bucket 2   |  each a multiple of 16 elements for every rank
///     rank 1   |   [====]     |   [====]     |   [====]     |  of 3: its block of every bucket
///     shards       [====]         [====]         [====]        contiguous, if the rank keeps only these
final class FlatParameters {
  /// The parameters in the order of the buffer, the last one of the forward pass first.
  let parameters: [Parameter]
  /// The range of each parameter in the whole buffer.
  let ranges: [Range<Int>]
  /// Consecutive parts that cover the buffer.
  let buckets: [Range<Int>]
  /// The number of ranks that divide the buffer.
  let ranks: Int
  /// This rank.
  let rank: Int
  /// What this rank keeps.
  let parts: KeptParts
  /// Weights: the whole buffer, or this rank's blocks.
  let values: Tensor
  /// Gradients: the whole buffer, or the sums of this rank's blocks.
  let gradients: Tensor
  /// The gradients of all ranks of the node, where they are whole.
  let rankGradients: RankBuffers?
  /// The parameters of each bucket, as indices into `parameters`.
  let members: [[Int]]

  /// Moves the parameters' values into the buffer and gives each parameter its gradient; where a rank keeps its blocks
  /// only, the parameters' tensors are absent.
  ///
  /// - Parameters:
  ///   - parameters: in the order of the forward pass.
  ///   - bucketBytes: a bucket ends when it reaches this size, unless buckets are cut by block.
  ///   - blocks: the model's blocks; a weight of several blocks belongs to the first one, where its gradient becomes
  ///     complete.
  ///   - buffers: memory that ranks of a node share; nil for memory of this rank's own.
  ///   - fill: called for each parameter before its values are moved and its own memory is freed.
  /// Throws `StudentBuffers.NotShared`.
  init(
    _ parameters: [Parameter], ranks: Int, rank: Int = 0, bucketBytes: Int, parts: KeptParts = KeptParts(),
    blocks: [[Parameter]] = [], in buffers: StudentBuffers? = nil, fill: (Parameter) -> Void = { _ in }
  ) throws {
    let homes = FlatParameters.homes(blocks)
    var ordered = Array(parameters.reversed())
    if parts.cut == .byBlock {
      // A stable sort keeps the order of the pass inside a block.
      let home = ordered.map { homes[ObjectIdentifier($0)] ?? 0 }
      ordered = ordered.indices.sorted { (-home[$0], $0) < (-home[$1], $1) }.map { ordered[$0] }
    }
    let unit = 16  // floats in a cache line: every tensor and every block starts on a cache line
    var (ranges, buckets): ([Range<Int>], [Range<Int>]) = ([], [])
    var members: [[Int]] = [[]]
    var (position, start) = (0, 0)
    for (index, parameter) in ordered.enumerated() {
      ranges.append(position..<position + parameter.count)
      members[members.count - 1].append(index)
      position = (position + parameter.count + unit - 1) / unit * unit
      let isLast = index == ordered.count - 1
      let isFull =
        switch parts.cut {
        case .bySize: (position - start) * 4 >= bucketBytes
        case .byBlock:
          !isLast && homes[ObjectIdentifier(parameter)] != homes[ObjectIdentifier(ordered[index + 1])]
        }
      if isFull || isLast {
        let block = (position - start + ranks * unit - 1) / (ranks * unit) * unit
        position = start + block * ranks
        buckets.append(start..<position)
        start = position
        if !isLast { members.append([]) }
      }
    }
    self.parameters = ordered
    self.ranges = ranges
    self.buckets = buckets
    self.members = ordered.isEmpty ? [] : members
    self.ranks = ranks
    self.rank = rank
    self.parts = parts
    let sharesWeights = parts.weights == .whole && parts.areWeightsShared
    values =
      if sharesWeights, let buffers { try buffers.shared([position]) } else {
        .zeros([parts.weights == .owned ? position / ranks : position])
      }
    rankGradients = parts.gradients == .whole ? try buffers?.ofEachRank(position) : nil
    gradients = rankGradients?.own ?? .zeros([parts.gradients == .owned ? position / ranks : position])
    for index in ordered.indices {
      fill(ordered[index])
      move(index)
    }
    // Only pages that are in memory can be joined to huge ones.
    if rankGradients != nil { gradients.fill(0) }
    for tensor in [values, gradients] { buffers?.useHugePages(for: tensor) }
  }

  /// The first block that reads each parameter.
  private static func homes(_ blocks: [[Parameter]]) -> [ObjectIdentifier: Int] {
    var homes: [ObjectIdentifier: Int] = [:]
    for (block, parameters) in blocks.enumerated() {
      for parameter in parameters where homes[ObjectIdentifier(parameter)] == nil {
        homes[ObjectIdentifier(parameter)] = block
      }
    }
    return homes
  }

  /// Moves the values of a parameter into the buffer.
  private func move(_ index: Int) {
    let (parameter, range) = (parameters[index], ranges[index])
    if parts.weights == .owned {
      for (from, to) in ownedParts(of: index) {
        let source = parameter.value.slice(at: from.lowerBound, [from.count])
        values.slice(at: to, [from.count]).update(from: source)
      }
      parameter.value = .absent(parameter.shape)
    } else {
      let place = values.slice(at: range.lowerBound, parameter.shape)
      place.update(from: parameter.value)
      parameter.value = place
    }
    parameter.gradient =
      parts.gradients == .owned
      ? .absent(parameter.shape) : gradients.slice(at: range.lowerBound, parameter.shape)
  }

  /// The elements of a parameter that this rank owns, and their offset in the shards; at most one range.
  func ownedParts(of index: Int) -> [(elements: Range<Int>, shard: Int)] {
    let range = ranges[index]
    guard let bucket = members.firstIndex(where: { $0.contains(index) }) else { return [] }
    let owned = ownedRange(ofBucket: bucket)
    let part = range.clamped(to: owned)
    if part.isEmpty { return [] }
    let shard = buckets[bucket].lowerBound / ranks + part.lowerBound - owned.lowerBound
    return [(part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound, shard)]
  }

  /// The parameters of each bucket.
  var parametersOfBuckets: [[Parameter]] { members.map { $0.map { parameters[$0] } } }

  /// The number of elements of the whole buffer.
  var count: Int { buckets.last?.upperBound ?? 0 }

  /// This rank's elements of a bucket.
  func ownedRange(ofBucket bucket: Int) -> Range<Int> { ownedRanges(rank: rank)[bucket] }

  /// This rank's part of a bucket in a tensor of shards.
  func shard(_ bucket: Int, of shards: Tensor) -> Tensor {
    shards.slice(at: buckets[bucket].lowerBound / ranks, [buckets[bucket].count / ranks])
  }

  /// A view of a parameter in a tensor that holds only its bucket.
  func place(_ index: Int, ofBucket bucket: Int, in tensor: Tensor) -> Tensor {
    tensor.slice(at: ranges[index].lowerBound - buckets[bucket].lowerBound, parameters[index].shape)
  }

  /// The block of each bucket that a rank owns.
  func ownedRanges(rank: Int) -> [Range<Int>] {
    buckets.map { bucket in
      let block = bucket.count / ranks
      let start = bucket.lowerBound + rank * block
      return start..<start + block
    }
  }

  /// The elements that this rank updates: its blocks, or the whole buffer.
  var updated: [Range<Int>] { parts.updated == .whole ? buckets : ownedRanges(rank: rank) }

  /// The segments that this rank updates, bucket by bucket.
  private(set) lazy var updatedSegments = updated.flatMap { segments(of: [$0]) }
  /// The segments of each bucket, as indices into `updatedSegments`.
  private(set) lazy var segmentsOfBuckets: [Range<Int>] = {
    var first = 0
    return updated.map { range in
      defer { first += segments(of: [range]).count }
      return first..<first + segments(of: [range]).count
    }
  }()

  /// Splits ranges of the buffer where weight decay begins or ends; the segments cover the ranges without gaps.
  func segments(of owned: [Range<Int>]) -> [ParameterSegment] {
    var segments: [ParameterSegment] = []
    func add(_ range: Range<Int>, _ decays: Bool) {
      if range.isEmpty { return }
      if let last = segments.last, last.decays == decays, last.range.upperBound == range.lowerBound {
        segments[segments.count - 1] = ParameterSegment(range: last.range.lowerBound..<range.upperBound, decays: decays)
      } else {
        segments.append(ParameterSegment(range: range, decays: decays))
      }
    }
    for owned in owned {
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
