/// The token ids of a text, or of a pair of texts, and the segment of each token.
package struct Encoding: Equatable, Sendable {
  /// Vocabulary ids, with special tokens if requested; [tokens].
  package var ids: [Int32]
  /// Segments: 0 for the first text, 1 for the second; the template decides for special tokens; [tokens].
  package var typeIDs: [Int32]

  /// Makes an encoding; lists of different lengths are a precondition failure.
  package init(ids: [Int32], typeIDs: [Int32]) {
    precondition(ids.count == typeIDs.count, "Encoding: \(ids.count) ids and \(typeIDs.count) type ids")
    self.ids = ids
    self.typeIDs = typeIDs
  }
}

/// Encodes text as vocabulary ids and decodes ids; made by `loadTokenizer`, safe to use from several threads.
package protocol Tokenizer: Sendable {
  /// The largest id + 1, added tokens included: token embeddings need at least this many rows.
  var vocabularySize: Int { get }

  /// SHA-256, in hexadecimal, of everything that affects the ids of a text.
  ///
  /// The same tokenizer read from `vocab.txt` and from `tokenizer.json` has the same digest.
  var digest: String { get }

  /// The ids of `text`, or of `text` followed by `pair`.
  ///
  /// - Parameters:
  ///   - pair: a second text, which selects the pair form of the template; an empty string counts as a text.
  ///   - maxLength: the most ids to return, special tokens included. The longer of the two texts is cut first, at
  ///     its end (or its beginning, if the tokenizer says so), until both are equally long; then both are cut. If not
  ///     even the special tokens fit, they are cut.
  ///   - addSpecialTokens: whether to add the template's tokens ([CLS], [SEP]).
  func encode(_ text: String, pair: String?, maxLength: Int?, addSpecialTokens: Bool) -> Encoding

  /// The ids of a text or a pair with special tokens, as `encode` gives them, and whether tokens were cut to
  /// `maxLength`.
  func encodeNotingCuts(_ text: String, pair: String?, maxLength: Int?) -> (encoding: Encoding, isCut: Bool)

  /// The ids of a text that is given as words, and the word of each token.
  ///
  /// Each word is encoded by itself, as `transformers` does with `is_split_into_words=True`; a word can have no token.
  ///
  /// - Parameters:
  ///   - maxLength: the most ids to return, special tokens included; tokens are cut at the end of the text (or its
  ///     beginning, if the tokenizer says so). If not even the special tokens fit, they are cut.
  ///   - addSpecialTokens: whether to add the template's tokens ([CLS], [SEP]).
  func encode(words: [String], maxLength: Int?, addSpecialTokens: Bool) -> WordEncoding

  /// The ids of a text, and the characters of the text from which each token comes; slower than the ids alone.
  ///
  /// - Parameters:
  ///   - maxLength: as for a text alone.
  ///   - addSpecialTokens: whether to add the template's tokens ([CLS], [SEP]).
  func encode(aligned text: String, maxLength: Int?, addSpecialTokens: Bool) -> AlignedEncoding

  /// A text's own tokens, or a part of them, between the special tokens that the template puts around a single text.
  func enclose(_ ids: [Int32]) -> Encoding

  /// The numbers of special tokens that the template puts before and after a single text.
  var enclosure: (before: Int, after: Int) { get }

  /// The text of `ids` from the tokenizer's decoder; ids outside the vocabulary are omitted.
  func decode(_ ids: [Int32], skipSpecialTokens: Bool) -> String

  /// The special token that the template puts before a single text; nil if there is none.
  var leadingToken: Int32? { get }

  /// The largest segment number of one text, or of a pair: the model's segment table needs at least one row more.
  func largestTypeID(isPair: Bool) -> Int32

  /// The id of exactly this token in the vocabulary or among the added tokens; nil if there is none.
  func tokenID(_ token: String) -> Int32?

  /// Cases in which `transformers` gives other ids from the same files, each a sentence without a full stop.
  var remarks: [String] { get }
}

extension Tokenizer {
  /// None.
  package var remarks: [String] { [] }
}

extension Tokenizer {
  /// The number of special tokens that the template puts around a single text.
  package var enclosingTokens: Int { enclosure.before + enclosure.after }

  /// Whether the text itself begins with the template's leading token, so that the encoding has it twice.
  package func repeatsLeadingToken(_ encoding: Encoding) -> Bool {
    guard let leadingToken, encoding.ids.count > 1 else { return false }
    return encoding.ids[0] == leadingToken && encoding.ids[1] == leadingToken
  }

  /// The ids of one text with special tokens, at most `maxLength`.
  package func encode(_ text: String, maxLength: Int? = nil) -> Encoding {
    encode(text, pair: nil, maxLength: maxLength, addSpecialTokens: true)
  }

  /// The ids of one text with special tokens, at most `maxLength`, and the characters of each token.
  package func encode(aligned text: String, maxLength: Int? = nil) -> AlignedEncoding {
    encode(aligned: text, maxLength: maxLength, addSpecialTokens: true)
  }
}
