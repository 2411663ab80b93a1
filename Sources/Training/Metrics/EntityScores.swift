/// An entity in a sequence of tags.
package struct Entity: Hashable, Sendable {
  /// The position of its type in `EntityTags.types`.
  package let type: Int
  /// The tokens that it consists of.
  package let range: Range<Int>

  /// Makes an entity of a type over some tokens.
  package init(type: Int, range: Range<Int>) {
    self.type = type
    self.range = range
  }
}

/// The tags of a tagger and the rule that finds entities in a sequence of them.
///
/// A tag is one character and, after a hyphen, the type of an entity, which may have hyphens itself: `B-PER`. The rule
/// is that of the conlleval script (Tjong Kim Sang and Buchholz, 2000) as seqeval's default mode has it. It accepts any
/// sequence of IOB1, BIO, IOE and BIOES tags, and any wrong one: an entity begins at `B` and `S`, at `I` and `E` after
/// `O`, `E` or `S`, and wherever the type changes; it ends after `E` and `S`, before `B`, `S` and `O`, and wherever the
/// type changes. `O` and `.` are outside.
///
/// A tag without a hyphen has the rest of its text as type, and `_` if there is none.
package struct EntityTags: Sendable {
  /// The types of entities, sorted.
  package let types: [String]
  private let prefixes: [Unicode.Scalar]
  /// The type of each tag; -1 for a type that only tags outside have.
  private let typeOfTag: [Int]
  /// The type of `O`, `_`, which a tag of one other character shares.
  private let bareType: Int

  /// - Parameter tags: the name of each tag, by its number.
  package init(_ tags: [String]) {
    let parts = tags.map(EntityTags.parts)
    let types = Set(parts.filter { !EntityTags.isOutside($0.prefix) }.map(\.type)).sorted()
    let places = Dictionary(uniqueKeysWithValues: types.enumerated().map { ($1, $0) })
    self.types = types
    prefixes = parts.map(\.prefix)
    typeOfTag = parts.map { places[$0.type] ?? -1 }
    bareType = places["_"] ?? -1
  }

  private static func parts(_ tag: String) -> (prefix: Unicode.Scalar, type: String) {
    guard let prefix = tag.unicodeScalars.first else { return ("O", "_") }
    var rest = Substring(tag).unicodeScalars.dropFirst()
    if let hyphen = rest.firstIndex(of: "-") { rest = rest[rest.index(after: hyphen)...] }
    return (prefix, rest.isEmpty ? "_" : String(rest))
  }

  private static func isOutside(_ prefix: Unicode.Scalar) -> Bool { prefix == "O" || prefix == "." }

  /// The entities in a sequence of tags, in order.
  ///
  /// - Parameter tags: numbers of tags; a number that is no tag is outside of entities.
  package func entities(in tags: [Int]) -> [Entity] {
    var found: [Entity] = []
    // No tag has the type before the first one.
    var (previous, previousType): (Unicode.Scalar, Int) = ("O", -2)
    var begin = 0
    for index in 0...tags.count {
      let tag = index < tags.count ? tags[index] : -1
      let (prefix, type): (Unicode.Scalar, Int) =
        prefixes.indices.contains(tag) ? (prefixes[tag], typeOfTag[tag]) : ("O", bareType)
      if EntityTags.ends(previous, prefix, changesType: previousType != type) {
        found.append(Entity(type: previousType, range: begin..<index))
      }
      if EntityTags.begins(previous, prefix, changesType: previousType != type) { begin = index }
      (previous, previousType) = (prefix, type)
    }
    return found
  }

  /// Whether an entity ends between two tags.
  private static func ends(_ previous: Unicode.Scalar, _ next: Unicode.Scalar, changesType: Bool) -> Bool {
    switch previous {
    case "E", "S": true
    case "O", ".": false
    case "B", "I": changesType || next == "B" || next == "S" || next == "O"
    default: changesType
    }
  }

  /// Whether an entity begins at the second of two tags.
  private static func begins(_ previous: Unicode.Scalar, _ next: Unicode.Scalar, changesType: Bool) -> Bool {
    switch next {
    case "B", "S": true
    case "O", ".": false
    case "E", "I": changesType || previous == "O" || previous == "E" || previous == "S"
    default: changesType
    }
  }

  /// The entities in a sequence of tag names, with the names of their types.
  package static func entities(in tags: [String]) -> [(type: String, range: Range<Int>)] {
    let table = EntityTags(tags)
    return table.entities(in: Array(tags.indices)).map { (table.types[$0.type], $0.range) }
  }
}

/// Precision, recall and F1 of entities as conlleval and seqeval (default mode) count them: an entity is right if its
/// type and both ends are.
package struct EntityScores: Equatable, Sendable {
  /// The types of entities.
  package let types: [String]
  /// For each type its right, predicted and gold entities; [types, 3]. Counts of parts of the data, such as those of
  /// ranks, add up element by element.
  package private(set) var counts: [Int]

  /// No entities yet of these types.
  package init(types: [String]) {
    self.types = types
    counts = [Int](repeating: 0, count: 3 * types.count)
  }

  /// The scores with these counts, [types, 3]; another number of counts is a precondition failure.
  package init(types: [String], counts: [Int]) {
    precondition(counts.count == 3 * types.count, "EntityScores: \(counts.count) counts, \(types.count) types")
    self.types = types
    self.counts = counts
  }

  /// Adds one sequence: the predicted and the true number of each token's tag.
  package mutating func add(predicted: [Int], gold: [Int], _ tags: EntityTags) {
    precondition(tags.types == types, "EntityScores: \(tags.types) for \(types)")
    let (found, wanted) = (tags.entities(in: predicted), tags.entities(in: gold))
    let right = Set(wanted).intersection(found)
    for entity in right { counts[3 * entity.type] += 1 }
    for entity in found { counts[3 * entity.type + 1] += 1 }
    for entity in wanted { counts[3 * entity.type + 2] += 1 }
  }

  /// The counts of a type, by its position in `types`.
  package func score(ofType type: Int) -> MatchCounts {
    MatchCounts(correct: counts[3 * type], predicted: counts[3 * type + 1], gold: counts[3 * type + 2])
  }

  /// All entities together; its F1 is the usual figure of a tagger.
  package var micro: MatchCounts { types.indices.reduce(MatchCounts()) { $0 + score(ofType: $1) } }

  /// The means over the types that are predicted or in the data.
  package var macro: MeanScores {
    MeanScores(over: types.indices.map(score).filter { $0.predicted + $0.gold > 0 })
  }
}
