/// Maps byte strings to values, and finds the longest string that matches a text at a position.
///
/// Edges are stored in one open-addressed table keyed by (node, byte): following an edge costs one multiplication and
/// nearly always one cache line; building 30,000 words takes milliseconds. A node is a number, so a search can start at
/// an inner node; WordPiece looks up "##" words in this way without building strings with "##".
struct ByteTrie: Sendable {
  static let root: UInt32 = 0
  /// The most nodes: a node and a byte share 32 bits of a slot.
  static let maximumNodeCount = 1 << 24

  /// node << 40 | byte << 32 | child; 0 is a free slot, since no edge leads to the root.
  private var slots: [UInt64]
  /// The value at each node; -1 if no string ends there.
  private var values: [Int32] = [-1]
  private var shift: UInt64

  init(expectedByteCount: Int = 0) {
    var bits: UInt64 = 6
    while (1 << bits) < min(expectedByteCount, 2 * ByteTrie.maximumNodeCount) { bits += 1 }
    slots = [UInt64](repeating: 0, count: 1 << bits)
    shift = 64 - bits
  }

  /// Adds a string; returns false and changes nothing if it exists already or the trie is full.
  mutating func insert(_ bytes: UnsafeBufferPointer<UInt8>, value: Int32) -> Bool {
    var node = ByteTrie.root
    for byte in bytes {
      if let next = child(of: node, byte) {
        node = next
        continue
      }
      guard values.count < ByteTrie.maximumNodeCount else { return false }
      if values.count * 2 > slots.count { grow() }
      let new = UInt32(values.count)
      values.append(-1)
      let key = node << 8 | UInt32(byte)
      slots[freeSlot(for: key)] = UInt64(key) << 32 | UInt64(new)
      node = new
    }
    guard values[Int(node)] < 0 else { return false }
    values[Int(node)] = value
    return true
  }

  /// The node at the end of `bytes`; nil if no string starts with them.
  func node(of bytes: UnsafeBufferPointer<UInt8>) -> UInt32? {
    var node = ByteTrie.root
    for byte in bytes {
      guard let next = child(of: node, byte) else { return nil }
      node = next
    }
    return node
  }

  /// The value of exactly this string.
  func value(of bytes: UnsafeBufferPointer<UInt8>) -> Int32? {
    guard let node = node(of: bytes), values[Int(node)] >= 0 else { return nil }
    return values[Int(node)]
  }

  /// The longest non-empty string below `node` that matches `text` at `start` and ends by `limit`: its value and end.
  @inline(__always)
  func longestPrefix(
    of text: UnsafeBufferPointer<UInt8>, from start: Int, node: UInt32, limit: Int? = nil
  ) -> (value: Int32, end: Int)? {
    withSearch { search in
      var found: (value: Int32, end: Int)?
      search.prefixes(of: text, from: start, node: node, limit: limit) { found = ($0, $1) }
      return found
    }
  }

  /// The trie's memory, for many searches in a row.
  struct Search {
    fileprivate let slots: UnsafeBufferPointer<UInt64>
    fileprivate let values: UnsafeBufferPointer<Int32>
    fileprivate let shift: UInt64

    /// Passes each non-empty string below `node` that `text` has at `start` and that ends by `limit`, the shortest
    /// first: its value and its end.
    @inline(__always)
    func prefixes(
      of text: UnsafeBufferPointer<UInt8>, from start: Int, node: UInt32 = ByteTrie.root, limit: Int? = nil,
      _ found: (_ value: Int32, _ end: Int) -> Void
    ) {
      let mask = slots.count - 1
      let end = limit ?? text.count
      var node = node
      var index = start
      walk: while index < end {
        let key = node << 8 | UInt32(text[index])
        var slot = Int(truncatingIfNeeded: (UInt64(key) &* ByteTrie.multiplier) >> shift)
        while true {
          let entry = slots[slot]
          if entry >> 32 == UInt64(key) && entry != 0 {
            node = UInt32(truncatingIfNeeded: entry)
            break
          }
          if entry == 0 { break walk }
          slot = (slot + 1) & mask
        }
        index += 1
        let value = values[Int(node)]
        if value >= 0 { found(value, index) }
      }
    }
  }

  @inline(__always)
  func withSearch<R>(_ body: (Search) throws -> R) rethrows -> R {
    try slots.withUnsafeBufferPointer { slots in
      try values.withUnsafeBufferPointer { try body(Search(slots: slots, values: $0, shift: shift)) }
    }
  }

  fileprivate static let multiplier: UInt64 = 0x9e37_79b9_7f4a_7c15

  @inline(__always)
  private func hash(_ key: UInt32) -> UInt64 { (UInt64(key) &* ByteTrie.multiplier) >> shift }

  private func child(of node: UInt32, _ byte: UInt8) -> UInt32? {
    let key = node << 8 | UInt32(byte)
    var slot = Int(hash(key))
    while slots[slot] != 0 {
      if slots[slot] >> 32 == UInt64(key) { return UInt32(truncatingIfNeeded: slots[slot]) }
      slot = (slot + 1) & (slots.count - 1)
    }
    return nil
  }

  private func freeSlot(for key: UInt32) -> Int {
    var slot = Int(hash(key))
    while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
    return slot
  }

  private mutating func grow() {
    let old = slots
    slots = [UInt64](repeating: 0, count: old.count * 2)
    shift -= 1
    for entry in old where entry != 0 { slots[freeSlot(for: UInt32(truncatingIfNeeded: entry >> 32))] = entry }
  }
}
