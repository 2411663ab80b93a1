import Platform

/// SentencePiece's compiled replacements of characters, such as `nmt_nfkc`: `CharacterMap` applied as the library
/// applies it.
///
/// A grapheme cluster of up to 5 bytes is looked up as a whole, a longer one or one without an entry character by
/// character. The shortest entry that a text begins with replaces all of it, marks included.
struct PrecompiledNormalizer: Normalizer {
  let map: CharacterMap
  /// The replacement of each ASCII character, as a range of the map's text; nil for none.
  private let ascii: [Range<Int>?]

  static let longestCluster = 5

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
