/// The merges of a byte pair encoding: the token that two neighbouring tokens become, and its rank.
///
/// An open-addressed table in two parallel arrays, pairs and merges: a look-up costs one multiplication and nearly
/// always one cache line of each.
struct MergeTable: Sendable {
  /// No merge; larger than every rank.
  static let none = UInt64.max

  /// left << 32 | right; `free` in an empty slot.
  private var pairs: [UInt64]
  /// rank << 32 | token.
  private var merges: [UInt64]
  private let shift: UInt64
  private static let free = UInt64.max

  init(capacity: Int) {
    var bits: UInt64 = 4
    while (1 << bits) < 2 * capacity { bits += 1 }
    pairs = [UInt64](repeating: MergeTable.free, count: 1 << bits)
    merges = [UInt64](repeating: MergeTable.none, count: 1 << bits)
    shift = 64 - bits
  }

  /// Adds a merge; a later merge of the same pair replaces an earlier one.
  mutating func insert(_ left: Int32, _ right: Int32, rank: Int, token: Int32) {
    let pair = MergeTable.pair(left, right)
    var slot = MergeTable.slot(of: pair, shift)
    while pairs[slot] != MergeTable.free, pairs[slot] != pair { slot = (slot + 1) & (pairs.count - 1) }
    pairs[slot] = pair
    merges[slot] = UInt64(rank) << 32 | UInt64(UInt32(bitPattern: token))
  }

  /// Runs `body` with a view that looks up pairs without reference counting.
  @inline(__always)
  func withLookup<Result>(_ body: (Lookup) -> Result) -> Result {
    pairs.withUnsafeBufferPointer { pairs in
      merges.withUnsafeBufferPointer { body(Lookup(pairs: pairs, merges: $0, shift: shift)) }
    }
  }

  struct Lookup {
    fileprivate let pairs: UnsafeBufferPointer<UInt64>
    fileprivate let merges: UnsafeBufferPointer<UInt64>
    fileprivate let shift: UInt64

    /// rank << 32 | token of a pair's merge, or `none`; a smaller value is merged earlier.
    @inline(__always)
    func merge(_ left: Int32, _ right: Int32) -> UInt64 {
      let pair = MergeTable.pair(left, right)
      var slot = MergeTable.slot(of: pair, shift)
      while pairs[slot] != pair {
        if pairs[slot] == MergeTable.free { return MergeTable.none }
        slot = (slot + 1) & (pairs.count - 1)
      }
      return merges[slot]
    }
  }

  @inline(__always)
  private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  @inline(__always)
  private static func slot(of pair: UInt64, _ shift: UInt64) -> Int {
    // Both halves are small numbers, so they are mixed first to reach the upper bits.
    Int(truncatingIfNeeded: ((pair ^ (pair >> 29)) &* 0x9e37_79b9_7f4a_7c15) >> shift)
  }
}

extension MergeTable.Lookup {
  /// Merges the pair of lowest rank, the leftmost of equal ones, until none is left; returns the number of tokens.
  ///
  /// - Parameters:
  ///   - tokens: [count], changed in place.
  ///   - merges: [count], scratch memory.
  func mergeShort(_ tokens: UnsafeMutablePointer<Int32>, _ merges: UnsafeMutablePointer<UInt64>, count: Int) -> Int {
    var count = count
    guard count > 1 else { return count }
    for index in 0..<count - 1 { merges[index] = merge(tokens[index], tokens[index + 1]) }
    while count > 1 {
      var best = 0
      for index in 1..<max(1, count - 1) where merges[index] >> 32 < merges[best] >> 32 { best = index }
      if merges[best] == MergeTable.none { break }
      tokens[best] = Int32(truncatingIfNeeded: merges[best])
      count -= 1
      // The tokens after the pair move up by one.
      for index in best + 1..<max(best + 1, count) { tokens[index] = tokens[index + 1] }
      for index in best..<max(best, count - 1) { merges[index] = merges[index + 1] }
      if best > 0 { merges[best - 1] = merge(tokens[best - 1], tokens[best]) }
      if best < count - 1 { merges[best] = merge(tokens[best], tokens[best + 1]) }
    }
    return count
  }

  /// The same for words of any length, in O(n log n): a heap of pairs, and the tokens as a linked list.
  func mergeLong(_ tokens: inout [Int32]) {
    mergeInPlace(&tokens)
    tokens.removeAll { $0 < 0 }
  }

  /// The same with each merged token at the place of its first part, and −1 at the places of the others.
  func mergeInPlace(_ tokens: inout [Int32]) {
    let count = tokens.count
    var next = (1...max(1, count)).map { Int32($0) }
    var previous = (-1..<count - 1).map { Int32($0) }
    // The rank of the pair that starts at each position; a heap entry with another rank is outdated.
    var ranks = [UInt64](repeating: MergeTable.none, count: count)
    var heap = MinimumHeap()
    func offer(_ place: Int) {
      let behind = Int(next[place])
      ranks[place] = behind < count ? merge(tokens[place], tokens[behind]) : MergeTable.none
      if ranks[place] != MergeTable.none { heap.push(ranks[place] & ~0xffff_ffff | UInt64(place)) }
    }
    for place in 0..<count { offer(place) }
    while let entry = heap.pop() {
      let place = Int(entry & 0xffff_ffff)
      guard ranks[place] != MergeTable.none, ranks[place] >> 32 == entry >> 32 else { continue }
      let gone = Int(next[place])
      tokens[place] = Int32(truncatingIfNeeded: ranks[place])
      tokens[gone] = -1
      ranks[gone] = MergeTable.none
      next[place] = next[gone]
      if Int(next[gone]) < count { previous[Int(next[gone])] = Int32(place) }
      offer(place)
      if previous[place] >= 0 { offer(Int(previous[place])) }
    }
  }
}

/// A binary heap of numbers with the smallest on top.
private struct MinimumHeap {
  private var items: [UInt64] = []

  mutating func push(_ item: UInt64) {
    var index = items.count
    items.append(item)
    while index > 0, items[(index - 1) / 2] > items[index] {
      items.swapAt(index, (index - 1) / 2)
      index = (index - 1) / 2
    }
  }

  mutating func pop() -> UInt64? {
    guard let top = items.first, let last = items.popLast() else { return nil }
    if items.isEmpty { return top }
    items[0] = last
    var index = 0
    while 2 * index + 1 < items.count {
      var child = 2 * index + 1
      if child + 1 < items.count, items[child + 1] < items[child] { child += 1 }
      if items[index] <= items[child] { break }
      items.swapAt(index, child)
      index = child
    }
    return top
  }
}
