/// Joins tokens to words and words with spaces, then removes the spaces that pre-tokenising has put around English
/// punctuation and contractions.
struct WordPieceDecoder: DecoderStep {
  var prefix = "##"
  var cleansUp = true

  private static let cleanups = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ].map { (Array($0.utf8), Array($1.utf8)) }

  func apply(_ tokens: [String]) -> [String] {
    let prefix = Array(prefix.utf8)
    return tokens.enumerated().map { index, token in
      var piece = Array(token.utf8)
      if index > 0 {
        if piece.starts(with: prefix) { piece.removeFirst(prefix.count) } else { piece.insert(0x20, at: 0) }
      }
      // Each token is cleaned up separately: a pattern never matches across two tokens.
      if cleansUp {
        for (pattern, replacement) in WordPieceDecoder.cleanups { replace(pattern, by: replacement, in: &piece) }
      }
      return String(decoding: piece, as: UTF8.self)
    }
  }

  private func replace(_ pattern: [UInt8], by replacement: [UInt8], in text: inout [UInt8]) {
    guard text.count >= pattern.count else { return }
    var result: [UInt8] = []
    var index = 0
    while index < text.count {
      if text[index...].starts(with: pattern) {
        result.append(contentsOf: replacement)
        index += pattern.count
      } else {
        result.append(text[index])
        index += 1
      }
    }
    text = result
  }
}

/// Joins tokens with spaces, for tokenizers without a decoder.
struct SpacedDecoder: TokenDecoder {
  func text(of tokens: [String]) -> String { tokens.joined(separator: " ") }
}
