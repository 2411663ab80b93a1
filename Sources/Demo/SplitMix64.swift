/// A small random stream: a counter that is scrambled. Equal seeds give equal numbers on every machine.
struct SplitMix64 {
  private var state: UInt64

  /// One stream for each pair of seed and index; neighbouring indices have nothing in common.
  init(seed: UInt64, index: UInt64) {
    // Streams that started one increment apart would be shifted copies of each other, hence the scrambling first.
    state = SplitMix64.scramble(seed &+ SplitMix64.scramble(index &+ SplitMix64.increment))
  }

  private static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

  private static func scramble(_ value: UInt64) -> UInt64 {
    var mixed = value
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// The next 64 random bits.
  mutating func next() -> UInt64 {
    state &+= SplitMix64.increment
    return SplitMix64.scramble(state)
  }

  /// A number in 0 ..< bound; bound is positive.
  mutating func below(_ bound: Int) -> Int {
    // The high half of the product: unbiased enough for bounds far below 2^64, and no division.
    Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// One element of a list that is not empty.
  mutating func pick<Element>(_ list: [Element]) -> Element { list[below(list.count)] }
}
