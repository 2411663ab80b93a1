import Platform
import Tokenizers

/// The overlapping windows in which a text of more tokens than the maximum length is read (`task.stride`).
///
/// Every window but the last has the maximum length, special tokens included, so the windows of a text can be stored
/// one after the other and found again by their length alone. Maximum length 6, two special tokens, stride 2:
///
///     text          a b c d e f g
///     windows    [  a b c d  ]
///                [      c d e f  ]
///                [          e f g  ]
struct TextWindows: Sendable {
  /// The tokens of every window but the last, special tokens included.
  let length: Int
  /// The tokens of the text in a window.
  private let capacity: Int
  /// The tokens that a window shares with the one before it.
  private let stride: Int
  private let tokenizer: any Tokenizer

  /// Throws `.configuration` if a window would not reach beyond the one before it.
  ///
  /// - Parameters:
  ///   - stride: the tokens that two windows share, from 0, as in `transformers`.
  ///   - location: the place of the setting in a message.
  init(_ stride: Int, maxLength: Int, _ tokenizer: any Tokenizer, at location: String) throws {
    let special = tokenizer.enclosingTokens
    let capacity = maxLength - special
    if stride >= capacity {
      throw RetortError(
        .configuration,
        "a stride of \(stride) is not below the \(max(0, capacity)) tokens of text in a window: \(maxLength) with "
          + "\(special) special tokens", at: location,
        remedy: capacity > 0 ? "allowed: 0 to \(capacity - 1)" : "raise the maximum length")
    }
    (length, self.capacity, self.stride, self.tokenizer) = (maxLength, capacity, stride, tokenizer)
  }

  /// The tokens of a text in each window, for a text of `count` tokens of its own.
  func ranges(of count: Int) -> [Range<Int>] {
    var ranges = [0..<min(count, capacity)]
    while let last = ranges.last, last.upperBound < count {
      let start = last.upperBound - stride
      ranges.append(start..<min(count, start + capacity))
    }
    return ranges
  }

  /// The window, by its number, in which each stretch of tokens counts, such as a word: that in which the tokens before
  /// or behind it, the fewer of both, are the most; the first of equal ones. The ends of the text limit nothing.
  ///
  /// - Parameters:
  ///   - stretches: ascending; a window has at least the first token of the stretches that count in it.
  ///   - count: the tokens of the text.
  func homes(of stretches: [Range<Int>], in ranges: [Range<Int>], count: Int) -> [Int] {
    var home = 0
    return stretches.map { stretch in
      func context(_ window: Int) -> Int {
        let range = ranges[window]
        let before = range.lowerBound == 0 ? Int.max : stretch.lowerBound - range.lowerBound
        let after = range.upperBound == count ? Int.max : range.upperBound - stretch.upperBound
        return min(before, after)
      }
      while home + 1 < ranges.count, ranges[home + 1].contains(stretch.lowerBound),
        !ranges[home].contains(stretch.lowerBound) || context(home + 1) > context(home)
      {
        home += 1
      }
      return home
    }
  }

  /// The ids and segments of a text's windows, one after the other; `ids` has the special tokens of the whole text.
  func cut(_ ids: [Int32]) -> Encoding {
    let own = ownTokens(of: ids)
    var all = Encoding(ids: [], typeIDs: [])
    for range in ranges(of: own.count) {
      let window = tokenizer.enclose(Array(own[own.startIndex + range.lowerBound..<own.startIndex + range.upperBound]))
      all.ids += window.ids
      all.typeIDs += window.typeIDs
    }
    return all
  }

  /// The windows of a text with the word of each token that counts in its window, −1 for all others.
  ///
  /// - Parameters:
  ///   - encoding: the whole text.
  ///   - counted: its tokens that count.
  func cut(_ encoding: WordEncoding, _ counted: [CountedToken]) -> WordEncoding {
    let before = tokenizer.enclosure.before
    let count = ownTokens(of: encoding.ids).count
    let ranges = ranges(of: count)
    let homes = homes(of: counted.map { $0.token - before..<$0.end - before }, in: ranges, count: count)
    let all = cut(encoding.ids)
    var words = [Int32](repeating: -1, count: all.ids.count)
    for (place, window) in zip(counted, homes) {
      words[window * length + place.token - ranges[window].lowerBound] = Int32(place.word)
    }
    return WordEncoding(ids: all.ids, typeIDs: all.typeIDs, words: words)
  }

  private func ownTokens(of ids: [Int32]) -> ArraySlice<Int32> {
    ids.dropFirst(tokenizer.enclosure.before).dropLast(tokenizer.enclosure.after)
  }
}

extension TaskDescription {
  /// The windows that the task cuts long texts into; nil if there are none, and for ids, which have special tokens of
  /// their own. Throws `.configuration` for a stride that does not fit the maximum length.
  func windows(tokenizer: (any Tokenizer)?, maxLength: Int?) throws -> TextWindows? {
    guard let stride, let tokenizer, let maxLength else { return nil }
    return try TextWindows(stride.tokens, maxLength: maxLength, tokenizer, at: stride.location)
  }
}
