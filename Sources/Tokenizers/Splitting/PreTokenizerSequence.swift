import Platform

/// Applies pre-tokenizers in order, each to every word of the previous one.
struct PreTokenizerSequence: PreTokenizer {
  let parts: [any PreTokenizer]

  func add(to digest: Digest) {
    digest.update("pre-tokenizers \(parts.count)")
    for part in parts { part.add(to: digest) }
  }

  var dependsOnStart: Bool { parts.contains(where: \.dependsOnStart) }

  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>]) {
    var rewritten: [UInt8] = []
    _ = cut(text, isStart: false, rewritten: &rewritten, words: &words)
  }

  func cut(
    _ text: UnsafeBufferPointer<UInt8>, isStart: Bool, rewritten: inout [UInt8], words: inout [Range<Int>]
  ) -> Bool {
    var isRewritten = false
    var pieces = text.isEmpty ? [] : [0..<text.count]
    var next: [Range<Int>] = []
    var inner: [Range<Int>] = []
    // Only the first word can be the beginning of the text, and only if nothing before it was removed.
    var firstIsStart = isStart
    for part in parts {
      next.removeAll(keepingCapacity: true)
      var output: [UInt8] = []
      let source = isRewritten ? rewritten : []
      func apply(_ current: UnsafeBufferPointer<UInt8>) {
        for (index, piece) in pieces.enumerated() {
          let bytes = UnsafeBufferPointer(rebasing: current[piece])
          inner.removeAll(keepingCapacity: true)
          var base = piece.lowerBound
          if part.rewrites {
            base = output.count
            if let new = part.rewrite(bytes, isStart: firstIsStart && index == 0) {
              output += new
              new.withUnsafeBufferPointer { part.split($0, into: &inner) }
            } else {
              output += bytes
              part.split(bytes, into: &inner)
            }
          } else {
            part.split(bytes, into: &inner)
          }
          if index == 0, inner.first?.lowerBound != 0 { firstIsStart = false }
          for word in inner where !word.isEmpty { next.append(base + word.lowerBound..<base + word.upperBound) }
        }
      }
      if isRewritten { source.withUnsafeBufferPointer(apply) } else { apply(text) }
      if part.rewrites {
        rewritten = output
        isRewritten = true
      }
      swap(&pieces, &next)
    }
    words += pieces
    return isRewritten
  }
}
