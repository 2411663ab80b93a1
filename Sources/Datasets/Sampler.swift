import Tensors

/// The size of a batch over all ranks and accumulation steps; an integer literal counts examples.
package enum BatchSize: Sendable, Equatable, ExpressibleByIntegerLiteral {
  /// The number of examples; the last batch of an epoch may have fewer.
  case examples(Int)
  /// The maximum number of tokens; batches are about equally full, and close to the fewest possible.
  case tokens(Int)

  package init(integerLiteral value: Int) { self = .examples(value) }
}

/// The order in which an epoch visits the examples: a pure function of (seed, epoch), equal on every rank.
///
/// Every example occurs exactly once per epoch, and every epoch has the same number of batches. A batch is global: it
/// covers all ranks and accumulation steps, and `partition` splits it among them.
package struct Sampler: Sendable {
  /// Batches of similar length are cut from windows of about this many batches.
  static let windowBatches = 50

  /// N.
  package let count: Int
  /// The size of the batch of one optimizer step, over all ranks.
  package let batchSize: BatchSize
  package let shuffle: Bool
  /// Whether a batch holds examples of similar length; has no effect without `shuffle`.
  package let groupByLength: Bool
  package let seed: UInt64
  private let lengths: [Int32]
  /// Examples of a full batch: `batchSize`, or all examples if there are fewer; 0 if tokens are counted.
  private let size: Int
  /// How batches are filled by tokens; nil if examples are counted.
  private let filling: TokenFilling?

  /// - Parameters:
  ///   - lengths: tokens of each example, [N], at least 1 each; at most the token limit if `batchSize` has one.
  ///   - batchSize: the size of one optimizer step's batch over all ranks, at least 1.
  package init(lengths: [Int32], batchSize: BatchSize, shuffle: Bool, groupByLength: Bool, seed: UInt64) {
    switch batchSize {
    case .examples(let size):
      precondition(size > 0, "a batch needs at least one example, not \(size)")
      self.size = min(size, max(1, lengths.count))
      filling = nil
    case .tokens(let limit):
      size = 0
      filling = TokenFilling(lengths, limit: limit, shuffle: shuffle, groupByLength: groupByLength)
    }
    self.lengths = lengths
    count = lengths.count
    self.batchSize = batchSize
    self.shuffle = shuffle
    self.groupByLength = groupByLength
    self.seed = seed
  }

  /// Optimizer steps per epoch, equal in every epoch: ⌈N / B⌉ for batches of B examples.
  package var stepsPerEpoch: Int { filling?.batchCount ?? (count + size - 1) / size }

  /// The global batches of an epoch (counted from 0), as example indices.
  package func batches(epoch: Int) -> [[Int]] {
    var order = Array(0..<count)
    if shuffle {
      var random = RandomStream(seed: seed, purpose: "shuffle", UInt64(epoch))
      Sampler.permute(&order[...], &random)
    }
    if let filling { return shuffle ? filled(order, filling, epoch) : filling.batches(order) }
    return shuffle && groupByLength ? grouped(order, epoch) : Sampler.cut(order, size)
  }

  /// Sorts windows of the shuffled order by length, cuts them into batches and shuffles the batches.
  ///
  /// The short last batch holds the tail of the shuffled order, so that it does not favour any length.
  private func grouped(_ order: [Int], _ epoch: Int) -> [[Int]] {
    let full = count / size * size
    var batches: [[Int]] = []
    batches.reserveCapacity(stepsPerEpoch)
    let window = Sampler.windowBatches * size
    for start in stride(from: 0, to: full, by: window) {
      let part = Sampler.sortedByLength(Array(order[start..<min(start + window, full)]), lengths)
      batches += Sampler.cut(part, size)
    }
    shuffleOrder(of: &batches, epoch)
    if full < count { batches.append(Array(order[full...])) }
    return batches
  }

  /// Sorts the shuffled order by length and shuffles within each group of neighbours, which go to different windows.
  private func filled(_ order: [Int], _ filling: TokenFilling, _ epoch: Int) -> [[Int]] {
    var order = Sampler.sortedByLength(order, lengths)
    var random = RandomStream(seed: seed, purpose: "windows", UInt64(epoch))
    for start in stride(from: 0, to: count, by: filling.windows) {
      Sampler.permute(&order[start..<min(start + filling.windows, count)], &random)
    }
    var batches = filling.batches(order)
    shuffleOrder(of: &batches, epoch)
    return batches
  }

  private func shuffleOrder(of batches: inout [[Int]], _ epoch: Int) {
    var random = RandomStream(seed: seed, purpose: "batch order", UInt64(epoch))
    Sampler.permute(&batches[...], &random)
  }

  /// The Fisher–Yates shuffle.
  private static func permute<T>(_ items: inout ArraySlice<T>, _ random: inout RandomStream) {
    let first = items.startIndex
    for last in stride(from: items.count - 1, to: 0, by: -1) {
      items.swapAt(first + last, first + random.below(last + 1))
    }
  }

  private static func cut(_ order: [Int], _ size: Int) -> [[Int]] {
    stride(from: 0, to: order.count, by: size).map { Array(order[$0..<min($0 + size, order.count)]) }
  }

  /// The indices by length, longest first; equal lengths keep their order.
  static func sortedByLength(_ order: [Int], _ lengths: [Int32]) -> [Int] {
    // Keys pack inverted length and index in one word: words sort several times faster than pairs by a closure.
    var keys = order.enumerated().map { UInt64(~UInt32(bitPattern: lengths[$1])) << 32 | UInt64($0) }
    keys.sort()
    return keys.map { order[Int($0 & 0xffff_ffff)] }
  }
}

extension Sampler {
  /// Splits a batch into parts with about equal numbers of tokens, for ranks × accumulation steps.
  ///
  /// Examples are assigned longest first, each to the part with the fewest tokens (ties: fewest examples, then lowest
  /// index), so a part is empty only if there are fewer examples than parts. Tokens are balanced because the cost
  /// of packed examples is per token; with equal lengths the example counts differ by at most one. Within a part,
  /// examples keep the order of the batch.
  ///
  /// - Parameter lengths: tokens of each example of the data set, [N], at least 1 each.
  package static func partition(_ batch: [Int], lengths: [Int32], parts: Int) -> [[Int]] {
    precondition(parts > 0, "a batch is split into at least one part, not \(parts)")
    if parts == 1 { return [batch] }
    let sizes = batch.map { lengths[$0] }
    var result = [[Int]](repeating: [], count: parts)
    var load = [Int](repeating: 0, count: parts)
    for place in sortedByLength(Array(batch.indices), sizes) {
      var best = 0
      for part in 1..<parts where (load[part], result[part].count) < (load[best], result[best].count) { best = part }
      result[best].append(place)
      load[best] += Int(sizes[place])
    }
    return result.map { $0.sorted().map { batch[$0] } }
  }

  /// The evaluation batches of each rank: every example occurs exactly once over all ranks.
  ///
  /// Examples are sorted by length, longest first, and cut into batches of at most `batchSize` examples and
  /// `batchTokens` tokens (a longer example is a batch by itself); each batch goes to the rank with the fewest tokens.
  /// Ranks may get different numbers of batches, and none if there are fewer examples than ranks.
  ///
  /// - Returns: [ranks][batches of the rank][examples of the batch].
  package static func evaluationShards(
    count: Int, lengths: [Int32]?, ranks: Int, batchSize: Int, batchTokens: Int = .max
  ) -> [[[Int]]] {
    precondition(ranks > 0 && batchSize > 0 && batchTokens > 0, "ranks and batches are at least one")
    let order = lengths.map { sortedByLength(Array(0..<count), $0) } ?? Array(0..<count)
    // Small data sets are cut into smaller batches, so that every rank gets one.
    let size = max(1, min(batchSize, count / ranks))
    var shards = [[[Int]]](repeating: [], count: ranks)
    var load = [Int](repeating: 0, count: ranks)
    var batch: [Int] = []
    var tokens = 0
    func deal() {
      let rank = load.indices.min { (load[$0], $0) < (load[$1], $1) }!
      shards[rank].append(batch)
      load[rank] += tokens
      batch = []
      tokens = 0
    }
    for index in order {
      let length = lengths.map { Int($0[index]) } ?? 1
      if !batch.isEmpty && (batch.count == size || tokens + length > batchTokens) { deal() }
      batch.append(index)
      tokens += length
    }
    if !batch.isEmpty { deal() }
    return shards
  }
}
