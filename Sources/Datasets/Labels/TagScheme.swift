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

  /// The scheme of a set of tags: entities if all of them are O or parts of entities.
  package init(_ tags: [String]) {
    let others = tags.filter { $0 != TagScheme.outside }
    let isTyped = !tags.isEmpty && others.allSatisfy { TagScheme.type(of: $0) != nil }
    self = isTyped || TagScheme.hasOneType(tags) ? .entities : .plain
  }

  /// Whether the tags are B, I and O, of entities of one type without a name.
  private static func hasOneType(_ tags: [String]) -> Bool {
    tags.contains("B") && tags.contains(outside)
      && tags.allSatisfy { $0 == outside || $0.count == 1 && marks.isSuperset(of: $0) }
  }

  /// The first tag that is no part of an entity, although others are; nil if there is none.
  static func stranger(in tags: [String]) -> String? {
    guard tags.contains(where: { type(of: $0) != nil }) else { return nil }
    return tags.first { $0 != outside && type(of: $0) == nil }
  }

  /// Whether two tags belong to entities of one type, as B-PER and I-PER.
  static func areOfOneEntity(_ a: String, _ b: String) -> Bool { type(of: a).map { $0 == type(of: b) } ?? false }

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
    if ["tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags"].contains(tag.lowercased()) {
      return "it looks like the name of a column: files of words with tags have no header"
    }
    let isOther = ["L-", "U-"].contains { tag.hasPrefix($0) }
    return isOther
      ? "tags of entities are O, B-TYPE and I-TYPE, and in BIOES also E-TYPE for L- and S-TYPE for U-"
      : "tags of entities are O, B-TYPE and I-TYPE (BIO), or also E-TYPE and S-TYPE (BIOES)"
  }
}
