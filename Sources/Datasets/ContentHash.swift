/// A 64-bit hash of token sequences, equal on every machine and in every run.
///
/// Each word is mixed in by multiplications with odd constants and a rotation; a finaliser mixes the last words. The
/// length comes first, so that a sequence and its prefix differ. The hash is not secure against attacks.
package enum ContentHash {
  private static func fold(_ state: UInt64, _ word: UInt64) -> UInt64 {
    let mixed = (state ^ word) &* 0x9e37_79b9_7f4a_7c15
    return (mixed << 29 | mixed >> 35) &* 0xbf58_476d_1ce4_e5b9
  }

  private static func finish(_ state: UInt64) -> UInt64 {
    var z = state ^ (state >> 31)
    z = z &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 29)
  }

  /// The hash of ids and, if given, their segments.
  package static func of(tokens: UnsafeBufferPointer<Int32>, typeIDs: UnsafeBufferPointer<Int32>?) -> UInt64 {
    var state = fold(0x2545_f491_4f6c_dd1d, UInt64(tokens.count))
    for token in tokens { state = fold(state, UInt64(UInt32(bitPattern: token))) }
    if let typeIDs {
      state = fold(state, 0x7479_7065)
      for type in typeIDs { state = fold(state, UInt64(UInt32(bitPattern: type))) }
    }
    return finish(state)
  }

  /// The hash of a sequence of other hashes and numbers.
  static func of(_ words: [UInt64]) -> UInt64 {
    finish(words.reduce(fold(0x510e_527f_ade6_82d1, UInt64(words.count)), fold))
  }

  /// The hash of bytes with a seed.
  static func of(bytes: UnsafeRawBufferPointer, _ seed: UInt64) -> UInt64 {
    var state = fold(fold(0x3c6e_f372_fe94_f82b, seed), UInt64(bytes.count))
    var at = 0
    while at + 8 <= bytes.count {
      state = fold(state, UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)))
      at += 8
    }
    while at < bytes.count {
      state = fold(state, UInt64(bytes[at]))
      at += 1
    }
    return finish(state)
  }

  /// The hash of the bit patterns of a row of numbers.
  static func of(features: UnsafeBufferPointer<Float>) -> UInt64 {
    var state = fold(0x6a09_e667_f3bc_c909, UInt64(features.count))
    for value in features { state = fold(state, UInt64(value.bitPattern)) }
    return finish(state)
  }
}
