import Platform

/// What the tags of words say: parts of entities (BIO, BIOES), or a class of each word by itself.
///
/// The first word of an entity of type T has the tag B-T, the others I-T; in BIOES the last has E-T, and the word of an
/// entity of one word S-T. A word outside every entity has O.
package enum TagScheme: Sendable {
  /// Tags of entities.
  case entities
  /// Classes such as parts of speech.
  case plain

  /// The tag of a word outside every entity.
  package static let outside = "O"
  private static let marks: Set<Character> = ["B", "I", "E", "S"]

  /// The type of the entity that a tag belongs to; nil for other text.
  static func type(of tag: String) -> Substring? {
    guard let mark = tag.first, marks.contains(mark), tag.dropFirst().first == "-", tag.count > 2 else { return nil }
    return tag.dropFirst(2)
  }

  /// The scheme of a set of tags: entities if one of them is O or a part of an entity.
  package init(_ tags: [String]) {
    self = tags.contains { $0 == TagScheme.outside || TagScheme.type(of: $0) != nil } ? .entities : .plain
  }

  /// The first tag that is no part of an entity, although others are; nil if there is none.
  static func stranger(in tags: [String]) -> String? {
    guard TagScheme(tags) == .entities else { return nil }
    return tags.first { $0 != outside && type(of: $0) == nil }
  }

  /// The tags in the usual order: O, then for each type B, I, E and S; plain tags stay as they are.
  static func ordered(_ tags: [String]) -> [String] {
    guard TagScheme(tags) == .entities else { return tags }
    let order: [Character: Int] = ["B": 0, "I": 1, "E": 2, "S": 3]
    return tags.sorted { a, b in
      func key(_ tag: String) -> (Int, String, Int) {
        tag == outside ? (0, "", 0) : (1, String(tag.dropFirst(2)), tag.first.flatMap { order[$0] } ?? 4)
      }
      return key(a) < key(b)
    }
  }

  /// The remedy for a tag that is no part of an entity.
  static func remedy(for tag: String) -> String {
    let isOther = ["L-", "U-"].contains { tag.hasPrefix($0) }
    return isOther
      ? "tags of entities are O, B-TYPE and I-TYPE, and in BIOES also E-TYPE for L- and S-TYPE for U-"
      : "tags of entities are O, B-TYPE and I-TYPE (BIO), or also E-TYPE and S-TYPE (BIOES)"
  }
}
