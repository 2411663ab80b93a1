import Platform

/// SentencePiece's own rules for spaces: removes those around a text and all but one of a run, and turns spaces into
/// marks. A mark at the beginning gets another one, because the mark that is put before a text is left out there.
struct SpaceNormalizer: Normalizer {
  let removesExtra: Bool
  let escapes: Bool
  let doublesFirstMark: Bool

  func add(to digest: Digest) { digest.update("spaces \(removesExtra) \(escapes) \(doublesFirstMark)") }

  func removesStart(of text: UnsafeBufferPointer<UInt8>) -> Bool { removesExtra && text.first == 0x20 }

  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    output.reserveCapacity(output.count + text.count * 5 / 4 + 3)
    let kept = removesExtra ? withoutOuterSpaces(text) : 0..<text.count
    var index = kept.lowerBound
    let end = kept.upperBound
    let start = output.count
    while index < end {
      let byte = text[index]
      index += 1
      guard byte == 0x20 else {
        output.append(byte)
        continue
      }
      if removesExtra { while index < end, text[index] == 0x20 { index += 1 } }
      if escapes { output.append(contentsOf: MetaspaceMark.bytes) } else { output.append(byte) }
    }
    if doublesFirstMark, output[start...].starts(with: MetaspaceMark.bytes) {
      output.insert(contentsOf: MetaspaceMark.bytes, at: start)
    }
  }
}

extension SpaceNormalizer {
  /// The bytes of a text without the spaces around it.
  func withoutOuterSpaces(_ text: UnsafeBufferPointer<UInt8>) -> Range<Int> {
    var (start, end) = (0, text.count)
    while start < end, text[start] == 0x20 { start += 1 }
    while end > start, text[end - 1] == 0x20 { end -= 1 }
    return start..<end
  }
}

/// Makes words of certain texts: the longest at each position.
struct TextSplitter: PreTokenizer {
  private let texts: [[UInt8]]
  private let matcher: AddedTokenMatcher

  init(_ texts: [String]) {
    self.texts = texts.map { Array($0.utf8) }
    matcher = AddedTokenMatcher(
      texts.enumerated().map { (Array($1.utf8), AddedToken(id: Int32($0), content: $1)) })
  }

  func add(to digest: Digest) { digest.update("texts \(texts)") }

  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>]) {
    var start = 0
    for segment in matcher.split(text) {
      switch segment {
      case .text(let range): words.append(range)
      case .token(let index, _): words.append(start..<start + texts[Int(index)].count)
      }
      start = words.last?.upperBound ?? 0
    }
  }
}
