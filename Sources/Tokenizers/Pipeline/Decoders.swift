/// One stage of a decoder, which turns a list of tokens into another.
protocol DecoderStep: Sendable {
  func apply(_ tokens: [String]) -> [String]
}

/// Applies its stages in order and concatenates the resulting tokens.
struct SteppedDecoder: TokenDecoder {
  let steps: [any DecoderStep]

  func text(of tokens: [String]) -> String { steps.reduce(tokens) { $1.apply($0) }.joined() }
}

/// Tokens of a byte-level vocabulary become the bytes that they represent; invalid UTF-8 becomes U+FFFD.
struct ByteLevelDecoder: DecoderStep {
  func apply(_ tokens: [String]) -> [String] {
    var bytes: [UInt8] = []
    for token in tokens { bytes += ByteAlphabet.bytes(of: token) ?? Array(token.utf8) }
    return [String(decoding: bytes, as: UTF8.self)]
  }
}

/// Replaces the matches of a pattern in each token.
struct ReplaceDecoder: DecoderStep {
  let pattern: TextPattern
  let replacement: [UInt8]

  func apply(_ tokens: [String]) -> [String] {
    let replace = ReplaceNormalizer(pattern: pattern, replacement: replacement)
    return tokens.map { token in
      var result: [UInt8] = []
      Array(token.utf8).withUnsafeBufferPointer { replace.normalize($0, into: &result) }
      return String(decoding: result, as: UTF8.self)
    }
  }
}

/// The suffix that marks the end of a word becomes a space, and is removed at the end of the text.
struct SuffixDecoder: DecoderStep {
  let suffix: String

  func apply(_ tokens: [String]) -> [String] {
    let pattern = TextPattern(text: suffix)
    let inner = ReplaceDecoder(pattern: pattern, replacement: [0x20])
    let last = ReplaceDecoder(pattern: pattern, replacement: [])
    return inner.apply(tokens.dropLast()) + last.apply(tokens.suffix(1))
  }
}

/// Runs of byte tokens (`<0xE6>`) become the characters that their bytes encode, or U+FFFD for each byte of a run that
/// is not UTF-8.
struct ByteFallbackDecoder: DecoderStep {
  func apply(_ tokens: [String]) -> [String] {
    var result: [String] = []
    var run: [UInt8] = []
    func flush() {
      if run.isEmpty { return }
      if let text = String(validating: run, as: UTF8.self) {
        result.append(text)
      } else {
        result += run.map { _ in "\u{fffd}" }
      }
      run = []
    }
    for token in tokens {
      if let byte = ByteFallbackDecoder.byte(of: token) {
        run.append(byte)
      } else {
        flush()
        result.append(token)
      }
    }
    flush()
    return result
  }

  private static func byte(of token: String) -> UInt8? {
    guard token.utf8.count == 6, token.hasPrefix("<0x"), token.hasSuffix(">") else { return nil }
    return UInt8(token.dropFirst(3).dropLast(), radix: 16)
  }
}

/// Concatenates all tokens into one.
struct FuseDecoder: DecoderStep {
  func apply(_ tokens: [String]) -> [String] { [tokens.joined()] }
}

/// Removes up to `start` occurrences of a character from the beginning of each token and up to `stop` from its end.
struct StripDecoder: DecoderStep {
  let content: Unicode.Scalar
  let start: Int
  let stop: Int

  func apply(_ tokens: [String]) -> [String] {
    tokens.map { token in
      var scalars = Substring(token).unicodeScalars
      // Stops at the first other character, since a file may give any number.
      var (first, last) = (start, stop)
      while first > 0, scalars.first == content {
        scalars.removeFirst()
        first -= 1
      }
      while last > 0, scalars.last == content {
        scalars.removeLast()
        last -= 1
      }
      return String(scalars)
    }
  }
}

/// Marks become spaces; those of the first token, which encoding prepends, are removed.
struct MetaspaceDecoder: DecoderStep {
  let mark: Unicode.Scalar
  let dropsFirst: Bool

  func apply(_ tokens: [String]) -> [String] {
    tokens.enumerated().map { index, token in
      var result = String.UnicodeScalarView()
      for scalar in token.unicodeScalars where scalar != mark || index > 0 || !dropsFirst {
        result.append(scalar == mark ? " " : scalar)
      }
      return String(result)
    }
  }
}
