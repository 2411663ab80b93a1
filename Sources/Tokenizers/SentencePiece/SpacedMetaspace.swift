import Platform

/// `WhitespaceSplit` followed by `Metaspace`, as XLM-R and ALBERT have them, in one pass over the text.
struct SpacedMetaspace: PreTokenizer {
  let metaspace: MetaspacePreTokenizer

  /// The two parts that give the same words, one after the other.
  var parts: PreTokenizerSequence {
    PreTokenizerSequence(parts: [CharacterSplitter(.whiteSpace, .removed), metaspace])
  }

  var dependsOnStart: Bool { metaspace.dependsOnStart }

  func add(to digest: Digest) { parts.add(to: digest) }

  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>]) { parts.split(text, into: &words) }

  func cut(
    _ text: UnsafeBufferPointer<UInt8>, isStart: Bool, rewritten: inout [UInt8], words: inout [Range<Int>]
  ) -> Bool {
    let mark = metaspace.mark
    rewritten.removeAll(keepingCapacity: true)
    rewritten.reserveCapacity(text.count * 5 / 4 + mark.count)
    var index = 0
    while index < text.count {
      let first = UTF8Text.scalar(at: index, in: text)
      if isWhiteSpace(first.scalar) {
        index = first.next
        continue
      }
      let start = index
      index = first.next
      var hasMark = text[start] == mark[0]
      while index < text.count {
        let (scalar, next) = UTF8Text.scalar(at: index, in: text)
        if isWhiteSpace(scalar) { break }
        if text[index] == mark[0] { hasMark = true }
        index = next
      }
      let word = UnsafeBufferPointer(rebasing: text[start..<index])
      let prepends = metaspace.prepend == .always || metaspace.prepend == .first && isStart && start == 0
      let from = rewritten.count
      if prepends, !(hasMark && word.starts(with: mark)) { rewritten.append(contentsOf: mark) }
      rewritten.append(contentsOf: word)
      if hasMark && metaspace.splits {
        var inner: [Range<Int>] = []
        rewritten.withUnsafeBufferPointer { metaspace.split(UnsafeBufferPointer(rebasing: $0[from...]), into: &inner) }
        words += inner.map { from + $0.lowerBound..<from + $0.upperBound }
      } else {
        words.append(from..<rewritten.count)
      }
    }
    return true
  }
}
