import CKernels

/// A stream of random numbers that is a pure function of its key, independent of the rank and of earlier draws.
///
/// The key is (seed, purpose, a, b), for example (42, "dropout", step, sample). The n-th number is
/// mix(key + n · 0x9E3779B97F4A7C15), the SplitMix64 generator of Steele, Lea and Flood (2014).
package struct RandomStream: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// The stream of a key; equal keys give equal numbers on every machine, others unrelated ones.
  package init(seed: UInt64, purpose: String, _ a: UInt64 = 0, _ b: UInt64 = 0) {
    // FNV-1a of the purpose, then each word is mixed in, so that near keys give unrelated streams.
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in purpose.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    self.init(key: RandomStream.mix(seed &+ RandomStream.mix(hash &+ RandomStream.mix(a &+ RandomStream.mix(b &+ 1)))))
  }

  /// The stream of an already mixed key; of two keys one increment apart, one stream is the other's tail.
  package init(key: UInt64) { state = key }

  /// The finaliser of SplitMix64: a bijection of 64-bit words in which every input bit reaches every output bit.
  package static func mix(_ word: UInt64) -> UInt64 {
    var z = word
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    return RandomStream.mix(state)
  }

  /// A uniform integer in 0 ..< n, without bias; n > 0.
  package mutating func below(_ n: Int) -> Int { Int.random(in: 0..<n, using: &self) }

  /// A uniform number in [0, 1) with 24 random bits.
  package mutating func uniform() -> Float { Float(next() >> 40) * 0x1p-24 }

  /// Fills a buffer from N(0, deviation²), by Box and Muller's basic form (two uniforms a number); two calls give the
  /// numbers of one for both buffers.
  package mutating func normals(deviation: Float, into numbers: UnsafeMutableBufferPointer<Float>) {
    guard let base = numbers.baseAddress else { return }
    rtk_normal_numbers(base, state, deviation, numbers.count)
    state &+= 0x9e37_79b9_7f4a_7c15 &* UInt64(2 * numbers.count)
  }
}
