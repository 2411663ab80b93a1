extension ModelConfiguration {
  /// The number of layers, or nil if the family has none; throws `.input` for an invalid size.
  package var layerCount: Int? { get throws { try sizes.depth } }
  /// The number of texts in an example that the model distinguishes, or nil if it does not look at them.
  package var tokenTypes: Int? { (try? sizes)?.textTypes }
  /// The longest sequence for which the model has positions, or nil if there is no limit.
  package var maximumPositions: Int? { (try? sizes)?.contextLength }
  /// The number of token embeddings, or nil if the model reads no tokens.
  package var vocabularySize: Int? { (try? sizes)?.vocabulary }

  /// Family and sizes in a few words, such as "bert L4 H256".
  package var shapeText: String { family.rawValue + ((try? sizes).map { " \($0.text)" } ?? "") }
}
