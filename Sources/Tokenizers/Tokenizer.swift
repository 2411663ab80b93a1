/// The token ids of a text, or of a pair of texts, and the segment that each of them belongs to.
public struct Encoding: Equatable, Sendable {
  /// Vocabulary ids, special tokens included where they were asked for; [tokens].
  public var ids: [Int32]
  /// 0 for the first text, 1 for the second (as the tokenizer's template says for special tokens); [tokens].
  public var typeIDs: [Int32]

  /// Ids with the segment of each; lists of different length are a precondition failure.
  public init(ids: [Int32], typeIDs: [Int32]) {
    precondition(ids.count == typeIDs.count, "Encoding: \(ids.count) ids and \(typeIDs.count) type ids")
    self.ids = ids
    self.typeIDs = typeIDs
  }
}

/// Turns text into vocabulary ids and back; made by `loadTokenizer`, safe to use from several threads at once.
public protocol Tokenizer: Sendable {
  /// The largest id + 1, added tokens included: an embedding table needs at least this many rows.
  var vocabularySize: Int { get }

  /// SHA-256, in hexadecimal, of everything that decides which ids a text becomes.
  ///
  /// The same tokenizer read from `vocab.txt` and from `tokenizer.json` has the same digest.
  var digest: String { get }

  /// The ids of `text`, or of `text` followed by `pair`.
  ///
  /// - Parameters:
  ///   - pair: a second text, which makes the pair form of the template; an empty string is a second text too.
  ///   - maxLength: the most ids to return, special tokens included. The longer of the two texts is cut first, at
  ///     its end (at its beginning where the tokenizer says so), until both are equally long; then both are. Where not
  ///     even the special tokens fit, they are cut.
  ///   - addSpecialTokens: whether the template's tokens ([CLS], [SEP]) are put around the text.
  func encode(_ text: String, pair: String?, maxLength: Int?, addSpecialTokens: Bool) -> Encoding

  /// The text of `ids`, as readable as the tokenizer's decoder makes it; ids outside the vocabulary are left out.
  func decode(_ ids: [Int32], skipSpecialTokens: Bool) -> String

  /// The special token that the template puts before a single text; nil where it puts none.
  var leadingToken: Int32? { get }

  /// The largest segment number that one text, or a pair of texts, gets: a model needs a row more of segments.
  func largestTypeID(isPair: Bool) -> Int32

  /// The id of exactly this token of the vocabulary or of the added tokens, nil where there is none.
  func tokenID(_ token: String) -> Int32?

  /// Where `transformers` would make other ids of the same files, a sentence without a full stop each.
  var remarks: [String] { get }
}

extension Tokenizer {
  /// None.
  public var remarks: [String] { [] }
}

extension Tokenizer {
  /// Whether a text brought the token with it that the template puts before it, so that it stands there twice.
  public func repeatsLeadingToken(_ encoding: Encoding) -> Bool {
    guard let leadingToken, encoding.ids.count > 1 else { return false }
    return encoding.ids[0] == leadingToken && encoding.ids[1] == leadingToken
  }

  /// The ids of one text with its special tokens, at most `maxLength` of them.
  public func encode(_ text: String, maxLength: Int? = nil) -> Encoding {
    encode(text, pair: nil, maxLength: maxLength, addSpecialTokens: true)
  }
}
