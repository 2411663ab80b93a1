/// The token ids of a text that is given as words, and the word that each token comes from.
package struct WordEncoding: Equatable, Sendable {
  /// Vocabulary ids, with special tokens if requested; [tokens].
  package var ids: [Int32]
  /// Segments of the tokens, as the template for one text gives them; [tokens].
  package var typeIDs: [Int32]
  /// The position of each token's word in the list of words, −1 for special tokens; [tokens].
  package var words: [Int32]

  /// Makes an encoding; lists of different lengths are a precondition failure.
  package init(ids: [Int32], typeIDs: [Int32], words: [Int32]) {
    precondition(
      ids.count == typeIDs.count && ids.count == words.count,
      "WordEncoding: \(ids.count) ids, \(typeIDs.count) type ids and \(words.count) words")
    self.ids = ids
    self.typeIDs = typeIDs
    self.words = words
  }
}
