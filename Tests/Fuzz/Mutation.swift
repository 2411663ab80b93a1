/// A stream of random numbers that a seed decides, the same on every machine (SplitMix64).
struct Chance {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// A number below `count`, which is at least 1.
  mutating func below(_ count: Int) -> Int { Int(next() % UInt64(max(1, count))) }
}

/// Damages the bytes of a file as disks, editors and hostile hands do.
enum Mutation {
  /// Numbers that decoders stumble over, as text.
  private static let numbers = [
    "0", "-1", "1", "255", "256", "2147483647", "2147483648", "-2147483649", "4294967296", "9223372036854775807",
    "-9223372036854775808", "9223372036854775808", "18446744073709551615", "1e308", "1e999", "-1e13", "0.5", "NaN",
    "Infinity", "null", "true", "\"x\"", "[]", "{}",
  ].map { Array($0.utf8) }
  private static let bytes: [UInt8] = [
    0, 1, 0x0a, 0x0d, 0x22, 0x2c, 0x5b, 0x5c, 0x5d, 0x7b, 0x7d, 0x7f, 0x80, 0xc3, 0xff,
  ]

  /// One to four changes of `seed`; `other` is a file of the same kind, of which parts may be taken.
  static func mutated(_ seed: [UInt8], with other: [UInt8], _ chance: inout Chance) -> [UInt8] {
    var data = seed
    // Text that is still well formed reaches further than text that is not.
    let keepsForm = chance.below(2) == 0 && data.contains(UInt8(ascii: "\""))
    for _ in 0...chance.below(4) {
      if keepsForm { changeValue(&data, other, &chance) } else { change(&data, other, &chance) }
    }
    return data
  }

  private static func change(_ data: inout [UInt8], _ other: [UInt8], _ chance: inout Chance) {
    guard !data.isEmpty else { return data.append(UInt8(truncatingIfNeeded: chance.next())) }
    // Half of the damage is to the first bytes, where headers stand, however long the rest is.
    let at = chance.below(chance.below(2) == 0 ? data.count : min(data.count, 256))
    let length = min(data.count - at, 1 + chance.below(16))
    switch chance.below(11) {
    case 0: data[at] ^= 1 << UInt8(chance.below(8))
    case 1: data[at] = bytes[chance.below(bytes.count)]
    case 2: data.removeSubrange(at..<at + length)
    case 3: data.insert(contentsOf: Array(data[at..<at + length]), at: chance.below(data.count))
    case 4: data.removeSubrange(at...)
    case 5: replaceNumber(&data, near: at, &chance)
    case 6: word(&data, at, &chance)
    case 7 where !other.isEmpty:
      let from = chance.below(other.count)
      data.replaceSubrange(at..<at + length, with: other[from..<min(other.count, from + 1 + chance.below(64))])
    case 8:
      // Now and then so many that a reader that calls itself for each, or looks back at all of them, is found out.
      let count = 1 << (chance.below(50) == 0 ? 17 : chance.below(11))
      data.insert(contentsOf: [UInt8](repeating: data[at], count: count), at: at)
    case 9: data.insert(bytes[chance.below(bytes.count)], at: at)
    default:
      let span = at..<min(data.count, at + 1 + chance.below(200))
      data.replaceSubrange(span, with: data[span].reversed())
    }
  }

  private static let strings = [
    "", "\u{0}", "..", "/etc/hostname", "é\u{301}", "\\ud800", "\\n", "LABEL_1", "label", "-1", "1e999",
    String(repeating: "x", count: 3000),
  ].map { Array($0.utf8) }

  /// Another value in the place of one in JSON or the like; the text stays well formed mostly.
  private static func changeValue(_ data: inout [UInt8], _ other: [UInt8], _ chance: inout Chance) {
    let at = chance.below(max(1, data.count))
    switch chance.below(4) {
    case 0: replaceNumber(&data, near: at, &chance)
    case 1:
      guard let place = quoted(data, from: at) else { return }
      let borrowed = quoted(other, from: chance.below(max(1, other.count))).map { Array(other[$0]) }
      data.replaceSubrange(place, with: chance.below(2) == 0 ? borrowed ?? [] : strings[chance.below(strings.count)])
    case 2:
      guard let place = quoted(data, from: at) else { return }
      data.replaceSubrange(place.lowerBound - 1..<place.upperBound + 1, with: numbers[chance.below(numbers.count)])
    default:
      guard let group = bracketed(data, from: at) else { return }
      switch chance.below(3) {
      case 0: data.replaceSubrange(group, with: numbers[chance.below(numbers.count)])
      case 1: data.insert(contentsOf: [UInt8(ascii: ",")] + data[group], at: group.upperBound)
      default: data.replaceSubrange(group.dropFirst().dropLast(), with: [])
      }
    }
  }

  /// The text between the next two quotes, which has no escapes.
  private static func quoted(_ data: [UInt8], from at: Int) -> Range<Int>? {
    let quote = UInt8(ascii: "\"")
    guard at < data.count, let start = data[at...].firstIndex(of: quote),
      let end = data[(start + 1)...].firstIndex(of: quote)
    else { return nil }
    return start + 1..<end
  }

  /// The next list or object, brackets included.
  private static func bracketed(_ data: [UInt8], from at: Int) -> Range<Int>? {
    guard at < data.count, let start = data[at...].firstIndex(where: { $0 == 0x5b || $0 == 0x7b }) else { return nil }
    var depth = 0
    for index in start..<data.count {
      if data[index] == 0x5b || data[index] == 0x7b { depth += 1 }
      if data[index] == 0x5d || data[index] == 0x7d { depth -= 1 }
      if depth == 0 { return start..<index + 1 }
    }
    return nil
  }

  /// Another number in the place of the next run of digits.
  private static func replaceNumber(_ data: inout [UInt8], near at: Int, _ chance: inout Chance) {
    func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    guard let start = data[at...].firstIndex(where: isDigit) else { return }
    let end = data[start...].firstIndex { !isDigit($0) } ?? data.count
    data.replaceSubrange(start..<end, with: numbers[chance.below(numbers.count)])
  }

  /// A large or odd number in the place of a binary word of 2, 4 or 8 bytes.
  private static func word(_ data: inout [UInt8], _ at: Int, _ chance: inout Chance) {
    let values: [UInt64] = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, .max >> 1, .max]
    let value = chance.below(3) == 0 ? chance.next() : values[chance.below(values.count)]
    for index in 0..<(2 << chance.below(3)) where at + index < data.count {
      data[at + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))
    }
  }
}
