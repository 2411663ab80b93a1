/// Decodes tokens to text one by one: returned text never changes later, and no character is split.
package struct TextStream {
  private let tokenizer: any Tokenizer
  private let skipsSpecialTokens: Bool
  /// The tokens whose text has been returned (the first `written`), then those whose text is pending.
  private var ids: [Int32] = []
  private var written = 0

  /// Starts an empty stream; `skipsSpecialTokens` omits special tokens from the text.
  package init(_ tokenizer: any Tokenizer, skipsSpecialTokens: Bool = true) {
    self.tokenizer = tokenizer
    self.skipsSpecialTokens = skipsSpecialTokens
  }

  /// The text that becomes final with some more tokens; empty while a character is incomplete.
  package mutating func append(_ more: [Int32]) -> String {
    ids += more
    return take(isLast: false)
  }

  /// The rest of the text; the bytes of an incomplete character become U+FFFD.
  package mutating func finish() -> String { take(isLast: true) }

  /// Earlier tokens that are decoded again with the new ones, since the text of a token can depend on those before it.
  private static let kept = 16

  private mutating func take(isLast: Bool) -> String {
    let before = tokenizer.decode(Array(ids[..<written]), skipSpecialTokens: skipsSpecialTokens)
    let all = tokenizer.decode(ids, skipSpecialTokens: skipsSpecialTokens)
    if !isLast, all.unicodeScalars.last == "\u{fffd}" { return "" }
    written = ids.count
    // Later drop all but the last `kept` returned tokens; both decodings above then begin with the same tokens.
    if written > 2 * TextStream.kept {
      ids.removeFirst(written - TextStream.kept)
      written = ids.count
    }
    return String(decoding: all.utf8.dropFirst(before.utf8.count), as: UTF8.self)
  }
}
