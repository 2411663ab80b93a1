import Platform

// The parts of a tokenizer, in the order in which text passes through them. A new family of tokenizers is another set
// of parts; the pipeline and its callers stay the same.
//
//   text ─► AddedTokens ─► Normalizer ─► AddedTokens ─► PreTokenizer ─► SubwordModel ─► PostProcessor ─► ids
//   ids ─► tokens ─► TokenDecoder ─► text
//
// Text stays UTF-8 bytes throughout: no String or Character is created per word.

/// A part of a tokenizer that affects ids and is therefore included in the tokenizer's digest.
protocol Digestible: Sendable {
  /// Adds the part's kind and every setting that can change an id.
  func add(to digest: Digest)
}

/// Rewrites text before it is split into words.
protocol Normalizer: Digestible {
  /// Appends the normal form of valid UTF-8 `text` to `output`.
  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8])

  /// Whether normalisation removes the first character of `text` without a replacement; what follows then no longer
  /// counts as the beginning of the tokenizer's input.
  func removesStart(of text: UnsafeBufferPointer<UInt8>) -> Bool

  /// Replaces a text by the normal form that `normalize` gives, with the origin of each character.
  func align(_ text: inout AlignedText)
}

extension Normalizer {
  func removesStart(of text: UnsafeBufferPointer<UInt8>) -> Bool { false }
}

/// Splits normalised text into words, which the model encodes one by one.
protocol PreTokenizer: Digestible {
  /// Appends the byte range of each word of `text`, in order; bytes outside all ranges are dropped.
  func split(_ text: UnsafeBufferPointer<UInt8>, into words: inout [Range<Int>])

  /// Whether `rewrite` can return a text.
  var rewrites: Bool { get }

  /// Whether the words of a text depend on its being the beginning of the tokenizer's input.
  var dependsOnStart: Bool { get }

  /// The text that is split and encoded instead of `text`; nil for `text` itself, as in most pre-tokenizers.
  ///
  /// - Parameter isStart: whether the text is the beginning of the tokenizer's input.
  func rewrite(_ text: UnsafeBufferPointer<UInt8>, isStart: Bool) -> [UInt8]?

  /// Appends the words of `text`. If the result is true they are ranges of `rewritten`, which is replaced; otherwise
  /// they are ranges of `text`.
  func cut(
    _ text: UnsafeBufferPointer<UInt8>, isStart: Bool, rewritten: inout [UInt8], words: inout [Range<Int>]
  ) -> Bool

  /// Replaces a text by the one that `rewrite` gives, with the origin of each character.
  func align(_ text: inout AlignedText)

  /// The words that `cut` gives, with the origin of each character.
  func words(of text: AlignedText) -> [AlignedText]
}

extension PreTokenizer {
  var rewrites: Bool { false }

  var dependsOnStart: Bool { false }

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

/// The vocabulary and the rule that splits a word into tokens.
protocol SubwordModel: Digestible {
  var vocabulary: Vocabulary { get }

  /// Appends the ids of each word, in order.
  func encode(_ text: UnsafeBufferPointer<UInt8>, words: [Range<Int>], into ids: inout [Int32])

  /// The tokens that `encode` gives a word, with the bytes of the word from which each comes.
  func spans(of word: UnsafeBufferPointer<UInt8>) -> [TokenSpan]
}

/// Adds special tokens to one or two encoded texts.
protocol PostProcessor: Digestible {
  /// The number of special tokens that one text, or a pair of texts, gets.
  func specialTokenCount(isPair: Bool) -> Int

  /// The steps that remove white space from the offsets of tokens, in order.
  var trims: [OffsetTrim] { get }

  /// The number of special tokens before a single text.
  var leadingTokenCount: Int { get }

  /// The special token before a single text; nil if there is none.
  var leadingToken: Int32? { get }

  func largestTypeID(isPair: Bool) -> Int32

  func assemble(_ first: [Int32], _ second: [Int32]?, addSpecialTokens: Bool) -> Encoding
}

/// Joins tokens to readable text.
protocol TokenDecoder: Sendable {
  func text(of tokens: [String]) -> String
}
