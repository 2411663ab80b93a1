/// What happens to the delimiters at which a text is split (`behavior` in tokenizer.json).
enum DelimiterBehavior: String, Sendable {
  case removed = "Removed"
  case isolated = "Isolated"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  case contiguous = "Contiguous"
}

/// Collects the words of a text from its matches in order; matches are delimiters, the text between them is not.
struct WordCollector {
  private let behavior: DelimiterBehavior
  /// Whether matches are words and the text between them is the delimiter.
  private let invert: Bool
  /// Adjacent pieces: range and whether the piece is a delimiter.
  private var pieces: [(range: Range<Int>, isDelimiter: Bool)] = []
  private var end: Int

  init(_ behavior: DelimiterBehavior, invert: Bool = false, from start: Int) {
    self.behavior = behavior
    self.invert = invert
    end = start
  }

  /// Adds the next match; an empty one adds no piece.
  mutating func add(match: Range<Int>) {
    if end < match.lowerBound { pieces.append((end..<match.lowerBound, invert)) }
    if !match.isEmpty { pieces.append((match, !invert)) }
    end = match.upperBound
  }

  /// Appends the words of the text that ends at `limit`.
  mutating func finish(at limit: Int, into words: inout [Range<Int>]) {
    if end < limit { pieces.append((end..<limit, invert)) }
    switch behavior {
    case .isolated: words += pieces.map(\.range)
    case .removed: words += pieces.lazy.filter { !$0.isDelimiter }.map(\.range)
    case .contiguous: appendContiguous(into: &words)
    case .mergedWithPrevious: words += merged(pieces)
    case .mergedWithNext: words += merged(pieces.reversed()).reversed()
    }
    pieces.removeAll()
  }

  private func appendContiguous(into words: inout [Range<Int>]) {
    var previous: Bool?
    for (range, isDelimiter) in pieces {
      if previous == isDelimiter, let last = words.popLast() {
        words.append(last.lowerBound..<range.upperBound)
      } else {
        words.append(range)
      }
      previous = isDelimiter
    }
  }

  /// Joins each delimiter with the piece before it in this order; of consecutive delimiters only the first.
  private func merged(_ pieces: [(range: Range<Int>, isDelimiter: Bool)]) -> [Range<Int>] {
    var result: [Range<Int>] = []
    var previousIsDelimiter = false
    for (range, isDelimiter) in pieces {
      if isDelimiter, !previousIsDelimiter, let last = result.popLast() {
        result.append(min(last.lowerBound, range.lowerBound)..<max(last.upperBound, range.upperBound))
      } else {
        result.append(range)
      }
      previousIsDelimiter = isDelimiter
    }
    return result
  }
}
