/// The token ids of a text, and the part of the text that each token comes from.
package struct AlignedEncoding: Equatable, Sendable {
  /// Vocabulary ids, with special tokens if requested; [tokens].
  package var ids: [Int32]
  /// Segments of the tokens, as the template for one text gives them; [tokens].
  package var typeIDs: [Int32]
  /// The characters of the text that each token comes from, counted in Unicode scalars as Python does; 0..<0 for
  /// special tokens. Tokens of one character, such as its bytes, all have the whole character; [tokens].
  package var offsets: [Range<Int>]

  /// Makes an encoding; lists of different lengths are a precondition failure.
  package init(ids: [Int32], typeIDs: [Int32], offsets: [Range<Int>]) {
    precondition(
      ids.count == typeIDs.count && ids.count == offsets.count,
      "AlignedEncoding: \(ids.count) ids, \(typeIDs.count) type ids and \(offsets.count) offsets")
    self.ids = ids
    self.typeIDs = typeIDs
    self.offsets = offsets
  }
}
