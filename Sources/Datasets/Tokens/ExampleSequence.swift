/// A sequence of an example: a text, one of two texts that are read apart, or a window of one.
struct ExampleSequence: Equatable {
  /// Its tokens among those of the example.
  let tokens: Range<Int>
  /// Whether it belongs to the second text.
  let isSecond: Bool
  /// Whether it is a window after the first of its text.
  let isContinued: Bool

  /// The sequences of an example, in order.
  ///
  /// - Parameters:
  ///   - length: the tokens of the example.
  ///   - firstText: the tokens of the first text with all its windows; nil: all tokens.
  ///   - window: the tokens of every window but the last of a text; 0: a text is one sequence.
  static func all(of length: Int, firstText: Int?, window: Int) -> [ExampleSequence] {
    let first = firstText ?? length
    let texts = first < length ? [0..<first, first..<length] : [0..<length]
    return texts.enumerated().flatMap { place, text in
      stride(from: text.lowerBound, to: text.upperBound, by: window > 0 ? window : text.count).map { start in
        ExampleSequence(
          tokens: start..<min(text.upperBound, window > 0 ? start + window : text.upperBound), isSecond: place == 1,
          isContinued: start > text.lowerBound)
      }
    }
  }
}
