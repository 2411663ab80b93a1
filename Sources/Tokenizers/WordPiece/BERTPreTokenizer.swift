import Platform

/// Splits at white space; each punctuation character is a separate word.
struct BERTPreTokenizer: PreTokenizer {
  private enum Class: UInt8 { case word, space, punctuation }

  private static let asciiClass: [UInt8] = (0..<128).map { (byte: UInt8) in
    if byte == 0x20 || (0x09...0x0d).contains(byte) { return Class.space.rawValue }
    return (isASCIIPunctuation(byte) ? Class.punctuation : Class.word).rawValue
  }

  func add(to digest: Digest) { digest.update("bert pre-tokenizer") }

  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>]) {
    BERTPreTokenizer.asciiClass.withUnsafeBufferPointer { asciiClass in
      var wordStart = -1
      var index = 0
      while index < text.count {
        let byte = text[index]
        let kind: UInt8
        var next = index + 1
        if byte < 0x80 {
          kind = asciiClass[Int(byte)]
        } else {
          let scalar: Unicode.Scalar
          (scalar, next) = UTF8Text.scalar(at: index, in: text)
          kind = BERTPreTokenizer.kind(of: scalar).rawValue
        }
        if kind == Class.word.rawValue {
          if wordStart < 0 { wordStart = index }
        } else {
          if wordStart >= 0 { words.append(wordStart..<index) }
          wordStart = -1
          if kind == Class.punctuation.rawValue { words.append(index..<next) }
        }
        index = next
      }
      if wordStart >= 0 { words.append(wordStart..<text.count) }
    }
  }

  private static func kind(of scalar: Unicode.Scalar) -> Class {
    if isWhiteSpace(scalar) { return .space }
    return isBERTPunctuation(scalar) ? .punctuation : .word
  }
}
