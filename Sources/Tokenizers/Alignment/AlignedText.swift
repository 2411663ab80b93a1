/// Text that knows, for each of its bytes, which characters of the original it comes from.
///
/// Normalizers and pre-tokenizers rewrite it in the same way as plain text. The rules are those of the library's
/// `NormalizedString`: characters that replace one character have its origin, a character that replaces several has the
/// origin of the first, and an added one has that of the character before it.
struct AlignedText {
  /// UTF-8.
  private(set) var bytes: [UInt8]
  /// The origin of each byte, in Unicode scalars of the whole original text; [bytes].
  private(set) var origins: [Range<Int>]
  /// Where the part of the original begins that this text comes from.
  private(set) var start: Int

  private init(bytes: [UInt8], origins: [Range<Int>], start: Int) {
    self.bytes = bytes
    self.origins = origins
    self.start = start
  }

  /// An original text.
  init(_ text: UnsafeBufferPointer<UInt8>) {
    bytes = Array(text)
    start = 0
    origins = []
    origins.reserveCapacity(bytes.count)
    var position = -1
    for byte in text {
      if byte & 0xc0 != 0x80 { position += 1 }
      origins.append(position..<position + 1)
    }
  }

  /// The part of this text in a range of bytes, which begins and ends between characters.
  subscript(range: Range<Int>) -> AlignedText {
    AlignedText(
      bytes: Array(bytes[range]), origins: Array(origins[range]),
      start: range.isEmpty ? start : origins[range.lowerBound].lowerBound)
  }

  /// The characters of the original from which a range of bytes comes.
  func origin(of range: Range<Int>) -> Range<Int> {
    let range = range.clamped(to: 0..<origins.count)
    guard let first = origins[range].first, let last = origins[range].last else { return start..<start }
    return first.lowerBound..<max(first.lowerBound, last.upperBound)
  }

  /// Replaces each character by the bytes that `body` appends for it, which have its origin.
  mutating func map(_ body: (_ scalar: Unicode.Scalar, _ output: inout [UInt8]) -> Void) {
    var (output, outputOrigins): ([UInt8], [Range<Int>]) = ([], [])
    output.reserveCapacity(bytes.count)
    outputOrigins.reserveCapacity(bytes.count)
    bytes.withUnsafeBufferPointer { text in
      var index = 0
      while index < text.count {
        let (scalar, next) = UTF8Text.scalar(at: index, in: text)
        body(scalar, &output)
        outputOrigins += repeatElement(origins[index], count: output.count - outputOrigins.count)
        index = next
      }
    }
    (bytes, origins) = (output, outputOrigins)
  }

  /// Removes the characters for which `isRemoved` is true.
  mutating func remove(where isRemoved: (Unicode.Scalar) -> Bool) {
    map { scalar, output in if !isRemoved(scalar) { UTF8Text.append(scalar, to: &output) } }
  }

  /// Keeps the bytes of a range.
  mutating func keep(_ range: Range<Int>) {
    bytes = Array(bytes[range])
    origins = Array(origins[range])
  }

  /// Puts bytes before a text that is not empty; they have the origin of its first character.
  mutating func prepend(_ prefix: [UInt8]) {
    guard let first = origins.first else { return }
    bytes = prefix + bytes
    origins = [Range<Int>](repeating: first, count: prefix.count) + origins
  }

  /// Replaces each match of a pattern by other bytes, which have the origin of the last matched character.
  mutating func replace(_ pattern: TextPattern, by replacement: [UInt8]) {
    var (output, outputOrigins): ([UInt8], [Range<Int>]) = ([], [])
    bytes.withUnsafeBufferPointer { text in
      var index = 0
      while index < text.count {
        let end = pattern.matchEnd(text, index)
        if end > index {
          output += replacement
          outputOrigins += repeatElement(origins[end - 1], count: replacement.count)
          index = end
        } else {
          let next = UTF8Text.end(ofScalarAt: index, in: text)
          output += text[index..<next]
          outputOrigins += origins[index..<next]
          index = next
        }
      }
    }
    (bytes, origins) = (output, outputOrigins)
  }

  /// Replaces the whole text by characters, each with the number of characters that it replaces: none if it is added.
  mutating func replaceAll(by characters: [(scalar: Unicode.Scalar, replaced: Int)]) {
    var (output, outputOrigins): ([UInt8], [Range<Int>]) = ([], [])
    output.reserveCapacity(bytes.count)
    outputOrigins.reserveCapacity(bytes.count)
    bytes.withUnsafeBufferPointer { text in
      var index = 0
      for (scalar, replaced) in characters {
        let origin =
          replaced > 0 && index < text.count ? origins[index] : index > 0 ? origins[index - 1] : start..<start
        UTF8Text.append(scalar, to: &output)
        outputOrigins += repeatElement(origin, count: output.count - outputOrigins.count)
        for _ in 0..<replaced where index < text.count { index = UTF8Text.end(ofScalarAt: index, in: text) }
      }
    }
    (bytes, origins) = (output, outputOrigins)
  }
}
