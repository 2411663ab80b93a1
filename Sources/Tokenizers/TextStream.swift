/// Makes text of tokens as they come: what has been given out is never taken back, and no character is cut in two.
public struct TextStream {
  private let tokenizer: any Tokenizer
  private let skipsSpecialTokens: Bool
  /// Tokens whose text is out, and behind them those whose text is not.
  private var ids: [Int32] = []
  private var written = 0

  /// An empty stream; `skipsSpecialTokens` leaves out those that are no text.
  public init(_ tokenizer: any Tokenizer, skipsSpecialTokens: Bool = true) {
    self.tokenizer = tokenizer
    self.skipsSpecialTokens = skipsSpecialTokens
  }

  /// The text that one more token makes certain; empty while it may be part of a character.
  public mutating func append(_ id: Int32) -> String { append([id]) }

  /// The text that some more tokens make certain.
  public mutating func append(_ more: [Int32]) -> String {
    ids += more
    return take(isLast: false)
  }

  /// The rest of the text, the bytes of an unfinished character as U+FFFD.
  public mutating func finish() -> String { take(isLast: true) }

  /// Tokens that are decoded once more before the new ones, since what a token becomes can depend on those before it.
  private static let kept = 16

  private mutating func take(isLast: Bool) -> String {
    let before = tokenizer.decode(Array(ids[..<written]), skipSpecialTokens: skipsSpecialTokens)
    let all = tokenizer.decode(ids, skipSpecialTokens: skipsSpecialTokens)
    if !isLast, all.unicodeScalars.last == "\u{fffd}" { return "" }
    written = ids.count
    // From the very beginning on nothing is dropped, as long as what is dropped later is the same with and without.
    if written > 2 * TextStream.kept {
      ids.removeFirst(written - TextStream.kept)
      written = ids.count
    }
    return String(decoding: all.utf8.dropFirst(before.utf8.count), as: UTF8.self)
  }
}
