import Foundation
import Platform

/// SentencePiece's compiled replacements of characters, such as `nmt_nfkc`: `CharacterMap` applied as the library
/// applies it.
///
/// A grapheme cluster of up to 5 bytes is looked up as a whole, a longer one or one without an entry character by
/// character. The shortest entry that a text begins with replaces all of it, marks included.
struct PrecompiledNormalizer: Normalizer {
  private let map: CharacterMap
  /// The replacement of each ASCII character, as a range of the map's text; nil for none.
  private let ascii: [Range<Int>?]

  private static let longestCluster = 5

  init(_ map: CharacterMap) {
    self.map = map
    ascii = (0..<128).map { byte in
      [UInt8(byte)].withUnsafeBufferPointer { map.replacement(of: $0) }
    }
  }

  func add(to digest: Digest) {
    digest.update("precompiled")
    map.bytes.withUnsafeBytes(digest.update(_:))
  }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    output.reserveCapacity(output.count + text.count)
    var index = 0
    while index < text.count {
      if text[index] < 0x80, text[index] != 0x0d, index + 1 == text.count || text[index + 1] < 0x80 {
        appendASCII(text[index], to: &output)
        index += 1
        continue
      }
      // A run of characters that may belong together; most are one character long.
      var (scalar, end) = UTF8Text.scalar(at: index, in: text)
      var length = 1
      while end < text.count {
        let (next, nextEnd) = UTF8Text.scalar(at: end, in: text)
        if standsAlone(scalar), standsAlone(next) { break }
        (scalar, end) = (next, nextEnd)
        length += 1
      }
      let run = UnsafeBufferPointer(rebasing: text[index..<end])
      if length == 1 { appendCharacter(run, to: &output) } else { appendClusters(run, to: &output) }
      index = end
    }
  }

  @inline(__always)
  private func appendASCII(_ byte: UInt8, to output: inout [UInt8]) {
    if let range = ascii[Int(byte)] { output.append(contentsOf: map.text[range]) } else { output.append(byte) }
  }

  private func appendCharacter(_ character: UnsafeBufferPointer<UInt8>, to output: inout [UInt8]) {
    if let range = map.replacement(of: character) {
      output.append(contentsOf: map.text[range])
    } else {
      output.append(contentsOf: character)
    }
  }

  private func appendClusters(_ run: UnsafeBufferPointer<UInt8>, to output: inout [UInt8]) {
    var index = 0
    for cluster in String(decoding: run, as: UTF8.self) {
      let end = index + cluster.utf8.count
      let bytes = UnsafeBufferPointer(rebasing: run[index..<end])
      index = end
      if bytes.count <= PrecompiledNormalizer.longestCluster, let range = map.replacement(of: bytes) {
        output.append(contentsOf: map.text[range])
        continue
      }
      var start = 0
      while start < bytes.count {
        let next = UTF8Text.end(ofScalarAt: start, in: bytes)
        appendCharacter(UnsafeBufferPointer(rebasing: bytes[start..<next]), to: &output)
        start = next
      }
    }
  }

  /// Whether there is a boundary of grapheme clusters between this character and any other for which this is true.
  @inline(__always)
  private func standsAlone(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x0d: false
    case 0...0xa8, 0xaa...0xac, 0xaf...0x2ff, 0x370...0x482, 0x48a...0x52f, 0x1e00...0x1fff, 0x2010...0x2027,
      0x3041...0x3096, 0x30a0...0x30ff, 0x3400...0x4dbf, 0x4e00...0x9fff, 0xac00...0xd7a3, 0xff01...0xff9d:
      true
    default: false
    }
  }
}

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
