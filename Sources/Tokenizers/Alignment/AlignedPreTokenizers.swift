// The pre-tokenizers on text that knows its origin. Each gives the same words as `cut`.

extension PreTokenizer {
  func align(_ text: inout AlignedText) {}

  func words(of text: AlignedText) -> [AlignedText] {
    var text = text
    align(&text)
    var ranges: [Range<Int>] = []
    text.bytes.withUnsafeBufferPointer { split($0, into: &ranges) }
    return ranges.lazy.filter { !$0.isEmpty }.map { text[$0] }
  }
}

extension MetaspacePreTokenizer {
  func align(_ text: inout AlignedText) {
    text.replace(TextPattern(text: " "), by: mark)
    if prepend == .always || prepend == .first && text.start == 0, !text.bytes.starts(with: mark) {
      text.prepend(mark)
    }
  }
}

extension ByteLevelPreTokenizer {
  func align(_ text: inout AlignedText) {
    if prependsSpace, text.bytes.first != 0x20 { text.prepend([0x20]) }
  }
}

extension SpacedMetaspace {
  func words(of text: AlignedText) -> [AlignedText] { parts.words(of: text) }
}

extension PreTokenizerSequence {
  func words(of text: AlignedText) -> [AlignedText] {
    parts.reduce(text.bytes.isEmpty ? [] : [text]) { pieces, part in pieces.flatMap(part.words) }
  }
}
