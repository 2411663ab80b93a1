import Platform

// The pieces a tokenizer is put together from, in the order text passes through them. Another family of
// tokenizers is another set of pieces; the pipeline and its callers stay as they are.
//
//   text ─► AddedTokens ─► Normalizer ─► AddedTokens ─► PreTokenizer ─► SubwordModel ─► PostProcessor ─► ids
//   ids ─► tokens ─► TokenDecoder ─► text
//
// Text is UTF-8 bytes all the way: no String or Character is made per word.

/// A part of a tokenizer that decides ids and therefore belongs to the tokenizer's digest.
protocol Digestible: Sendable {
  /// Adds the piece's kind and every setting that can change an id.
  func add(to digest: Digest)
}

/// Rewrites text before it is cut into words.
protocol Normalizer: Digestible {
  /// Appends the normal form of valid UTF-8 `text` to `output`.
  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8])
}

/// Cuts normalised text into the words that the model handles one by one.
protocol PreTokenizer: Digestible {
  /// Appends the byte range of each word of `text`, in order; bytes outside every range are dropped.
  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>])

  /// Whether `rewrite` can return anything.
  var rewrites: Bool { get }

  /// What is split and encoded in the place of a text; nil for the text itself, as most pre-tokenizers have it.
  ///
  /// - Parameter isStart: whether the text is the beginning of what was given to the tokenizer.
  func rewrite(_ text: UnsafeBufferPointer<UInt8>, isStart: Bool) -> [UInt8]?

  /// Appends the words of `text`: ranges of `rewritten`, which is then replaced, where the result is true, and
  /// otherwise of `text`.
  func cut(
    _ text: UnsafeBufferPointer<UInt8>, isStart: Bool, rewritten: inout [UInt8], words: inout [Range<Int>]
  ) -> Bool
}

extension PreTokenizer {
  var rewrites: Bool { false }

  func rewrite(_ text: UnsafeBufferPointer<UInt8>, isStart: Bool) -> [UInt8]? { nil }

  func cut(
    _ text: UnsafeBufferPointer<UInt8>, isStart: Bool, rewritten: inout [UInt8], words: inout [Range<Int>]
  ) -> Bool {
    guard let new = rewrite(text, isStart: isStart) else {
      split(text, into: &words)
      return false
    }
    rewritten = new
    rewritten.withUnsafeBufferPointer { split($0, into: &words) }
    return true
  }
}

/// The vocabulary and the rule that cuts a word into its entries.
protocol SubwordModel: Digestible {
  var vocabulary: Vocabulary { get }

  /// Appends the ids of each word, in order.
  func encode(_ text: UnsafeBufferPointer<UInt8>, words: [Range<Int>], into ids: inout [Int32])
}

/// Puts special tokens around one or two encoded texts.
protocol PostProcessor: Digestible {
  /// How many special tokens one text, or a pair of texts, gets.
  func specialTokenCount(isPair: Bool) -> Int

  /// The special token that stands before a single text; nil where none does.
  var leadingToken: Int32? { get }

  func largestTypeID(isPair: Bool) -> Int32

  func assemble(_ first: [Int32], _ second: [Int32]?, addSpecialTokens: Bool) -> Encoding
}

/// Joins tokens to readable text.
protocol TokenDecoder: Sendable {
  func text(of tokens: [String]) -> String
}
