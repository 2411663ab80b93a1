import Foundation
import Platform

/// Replacements of character sequences, as SentencePiece stores them: a double-array trie of the sequences, whose
/// values are positions in a text of replacements that end with a zero byte.
///
///     UInt32 size of the trie in bytes │ units of the trie, UInt32 each │ text
///
/// A unit has its label in bits 0–7, in bit 8 whether a sequence ends there, and in bits 10–30 (times 256 if bit 9 is
/// set) the offset whose XOR with its own position is the base of its children. The child for byte b stands at base XOR
/// b if its label is b; the value at base.
struct CharacterMap: Sendable {
  /// The map as it is stored.
  let bytes: [UInt8]
  /// The replacements, each ended by a zero byte.
  let text: [UInt8]
  private let units: [UInt32]

  /// - Throws: `.input` for a map that is cut off, and for a trie or a position that points outside of it.
  init(_ bytes: [UInt8], at location: String) throws {
    func refusal(_ what: String) -> RetortError {
      RetortError(.input, what, at: location, remedy: "download the file again from the model's source")
    }
    func word(_ index: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[index + $1]) << UInt32(8 * $1) }
    }
    guard bytes.count >= 8 else { throw refusal("the map of characters has only \(bytes.count) bytes") }
    let size = Int(word(0))
    guard size >= 4, size % 4 == 0, size <= bytes.count - 4 else {
      throw refusal("the trie of the map of characters has \(size) bytes, but the map only \(bytes.count)")
    }
    self.bytes = bytes
    units = (0..<size / 4).map { word(4 + 4 * $0) }
    text = Array(bytes[(4 + size)...])
    guard String(validating: text, as: UTF8.self) != nil else {
      throw refusal("the replacements of the map of characters are not UTF-8")
    }
    if let position = firstFault() {
      throw refusal("unit \(position) of the map of characters points outside of the map")
    }
  }

  /// The first unit within reach that points outside of the trie or of the text; nil if there is none.
  ///
  /// A child's position determines the base that it belongs to, so all units are visited in linear time.
  private func firstFault() -> Int? {
    var firstChild = [Int32](repeating: -1, count: units.count)
    var sibling = [Int32](repeating: -1, count: units.count)
    for (position, unit) in units.enumerated() where unit >> 31 == 0 && unit & 0xff != 0 {
      let base = position ^ Int(unit & 0xff)
      guard base < units.count else { continue }
      sibling[position] = firstChild[base]
      firstChild[base] = Int32(truncatingIfNeeded: position)
    }
    var isVisited = [Bool](repeating: false, count: units.count)
    var pending = [0]
    while let position = pending.popLast() {
      if isVisited[position] { continue }
      isVisited[position] = true
      let base = position ^ CharacterMap.offset(units[position])
      guard base < units.count else { return position }
      if CharacterMap.endsSequence(units[position]) {
        let value = Int(units[base] & 0x7fff_ffff)
        guard value <= text.count, value == text.count || text[value] & 0xc0 != 0x80 else { return base }
      }
      var child = firstChild[base]
      while child >= 0 {
        pending.append(Int(child))
        child = sibling[Int(child)]
      }
    }
    return nil
  }

  private static func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & (1 << 9)) >> 6)) }

  private static func endsSequence(_ unit: UInt32) -> Bool { unit & (1 << 8) != 0 }

  /// The part of `text` that replaces the shortest sequence with which `characters` begins; nil if there is none.
  func replacement(of characters: UnsafeBufferPointer<UInt8>) -> Range<Int>? {
    units.withUnsafeBufferPointer { units in
      var position = CharacterMap.offset(units[0])
      for byte in characters {
        if byte == 0 { return nil }
        position ^= Int(byte)
        guard position < units.count, units[position] & (1 << 31 | 0xff) == UInt32(byte) else { return nil }
        let unit = units[position]
        position ^= CharacterMap.offset(unit)
        if CharacterMap.endsSequence(unit) {
          let start = Int(units[position] & 0x7fff_ffff)
          var end = start
          while end < text.count, text[end] != 0 { end += 1 }
          return start..<end
        }
      }
      return nil
    }
  }
}

extension CharacterMap {
  /// Reads a map that is written as base64, as in `tokenizer.json`; throws as the other initialiser.
  init(base64 text: String, at location: String) throws {
    guard let data = Data(base64Encoded: text) else {
      throw RetortError(
        .input, "the map of characters is not base64", at: location,
        remedy: "download the file again from the model's source")
    }
    try self.init(Array(data), at: location)
  }
}
