/// The grammar's rules as a table.
///
/// A rule is a line of words and slots. A slot starts with `@`; a slot with an opinion ends in `=` if it has the
/// polarity of the whole, and in `!` if it has the opposite one. So "not @adjective!" expresses something positive with
/// a "not" and a negative adjective. Every rule is valid for both labels.
enum Grammar {
  /// The rules of a whole review, with their weights.
  static let reviews: [Rule] = rules([
    // One opinion, or two that agree.
    (14, "@clause= ."),
    (12, "@clause= , and @clause= ."),
    // Contrast: the main clause decides.
    (2, "@clause! , but @clause= ."),
    (2, "although @clause! , @clause= ."),
    (1, "@clause= , although @clause! ."),
    (1, "@clause! . still , @clause= ."),
    // Intensity: of two opinions the stronger one decides.
    (1, "the @aspect @is @soften @mild! , and the @aspect @is @boost @strong= ."),
    (1, "the @aspect @is @boost @strong= , and the @aspect @is @soften @mild! ."),
    // Expectation and outcome.
    (2, "i expected the @thing to be @adjective! . it @is @adjective= ."),
    (1, "i expected the @aspect to be @adjective! , and i was wrong ."),
    (1, "i expected the @aspect to be @adjective= , and i was right ."),
    (1, "we thought that @clause! , but we were wrong ."),
    // The opinions of others.
    (1, "@critics called the @thing @adjective! ; they were wrong ."),
    (1, "@critics called the @thing @adjective= ; they were right ."),
    (1, "@critics said that @clause! . i disagree ."),
    (1, "@critics said that @clause= . i agree ."),
    (1, "@critics said that @clause! , but @clause= ."),
    // Denial of a whole clause, which may itself contain a negation.
    (1, "it is not true that @clause! ."),
    (1, "i do not think that @clause! ."),
    (1, "nobody could deny that @clause= ."),
    // Counterfactuals.
    (1, "it would have been @adjective! if the @aspect were not so @adjective= ."),
    (1, "without the @adjective= @aspect , the @thing would have been @adjective! ."),
    // Comparison.
    (1, "our last @thing was @adjective! ; this one is the opposite ."),
    (1, "our last @thing was @adjective= ; this one is no different ."),
  ])

  /// The rules of a clause.
  static let clauses: [Rule] = rules([
    (14, "the @aspect @is @adjective="),
    (10, "the @aspect @is @boost @adjective="),
    (3, "the @aspect @is not @adjective!"),
    (1, "the @aspect @is not @adjective! at all"),
    (1, "the @aspect @is never @adjective!"),
    (1, "the @aspect @is barely @adjective!"),
    (1, "the @aspect @is hardly @adjective!"),
    (1, "the @aspect @is anything but @adjective!"),
    (1, "the @aspect @is nothing but @adjective="),
    (1, "the @aspect did @verb= us"),
    (1, "the @aspect did not @verb! us"),
    (1, "the @aspect failed to @verb! us"),
    (1, "the @aspect never failed to @verb= us"),
    (2, "the @measure="),
  ])

  /// The words for "@is".
  static let copulas = ["is", "was"]

  /// One element of a rule.
  enum Part: Equatable, Sendable {
    /// A word or a punctuation mark.
    case word(String)
    /// A slot, and whether it has the opposite polarity.
    case slot(Slot, opposite: Bool)
  }

  /// The names after `@`.
  enum Slot: String, Sendable {
    case clause, adjective, mild, strong, verb, measure, aspect, thing, critics, boost, soften, `is`
  }

  /// One line of the table.
  struct Rule: Sendable {
    let weight: Int
    let parts: [Part]
  }

  private static func rules(_ table: [(weight: Int, line: String)]) -> [Rule] {
    table.map { row in Rule(weight: row.weight, parts: row.line.split(separator: " ").map { part(String($0)) }) }
  }

  private static func part(_ text: String) -> Part {
    guard text.hasPrefix("@") else { return .word(text) }
    let name = String(text.dropFirst().filter { $0 != "=" && $0 != "!" })
    guard let slot = Slot(rawValue: name) else { preconditionFailure("the grammar has no slot named \(name)") }
    return .slot(slot, opposite: text.hasSuffix("!"))
  }

  /// All words and punctuation marks that a review can contain, sorted.
  static let words: [String] = {
    var found: Set<String> = []
    for rule in reviews + clauses {
      for case .word(let word) in rule.parts { found.insert(word) }
    }
    for thing in Lexicon.things { found.formUnion([thing.name] + thing.aspects) }
    for label in [0, 1] {
      found.formUnion(Lexicon.mild[label] + Lexicon.strong[label] + Lexicon.verb[label])
      for pair in Lexicon.measure[label] { found.formUnion([pair.0, pair.1]) }
    }
    found.formUnion(Lexicon.critics + Lexicon.boosters + Lexicon.softeners + Lexicon.fillers + copulas)
    return Set(found.flatMap { $0.split(separator: " ").map(String.init) }).sorted()
  }()
}
