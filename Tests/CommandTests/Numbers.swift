/// Numbers for made data: the same ones for the same seed.
struct Numbers: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: Int) { state = UInt64(truncatingIfNeeded: seed) &+ 0x9E37_79B9_7F4A_7C15 }

  mutating func next() -> UInt64 {
    // xorshift64*
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    return state &* 0x2545_F491_4F6C_DD1D
  }

  /// A whole number from 0 to `bound` - 1.
  mutating func next(below bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
  /// A number from 0 to below 1.
  mutating func unit() -> Double { Double.random(in: 0..<1, using: &self) }
}

extension Numbers {
  /// `rows` documents of token ids from 3 to 92, in which a token mostly determines the next, as lines of JSON.
  static func documents(_ rows: Int, seed: Int) -> String {
    var numbers = Numbers(seed)
    return (0..<rows).map { _ in
      var ids = [3 + numbers.next(below: 90)]
      for _ in 0..<20 + numbers.next(below: 40) { ids.append(3 + (ids[ids.count - 1] * 7 + numbers.next(below: 3)) % 90) }
      return "{\"ids\": \(ids)}\n"
    }.joined()
  }
}
