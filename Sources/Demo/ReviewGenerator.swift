import Tensors

/// One labelled example.
package struct Review: Equatable, Hashable, Sendable {
  /// The sentence or sentences, with capitals and punctuation as people write them.
  package let text: String
  /// 1 if the reviewer is satisfied, otherwise 0.
  package let label: Int

  /// Makes a review.
  package init(text: String, label: Int) {
    self.text = text
    self.label = label
  }
}

/// Generates short reviews whose label depends on how words are combined, not on which words they are.
///
/// The label is drawn first and the sentence is built to express it, so every label is right. Each word list has
/// entries for both labels, and the rules invert polarity as often as they keep it: a model that counts words is right
/// in part; one that follows negation, contrast and reported speech is always right.
package struct ReviewGenerator: Sendable {
  /// Determines the whole sequence; equal seeds give equal reviews on every machine.
  package let seed: UInt64

  /// Makes a generator for one sequence of reviews.
  package init(seed: UInt64) { self.seed = seed }

  /// The review at an index of the sequence: a pure function of (seed, index).
  package func review(at index: UInt64) -> Review {
    // The index is mixed first, since streams whose keys differ by one increment are shifted copies of each other.
    let key = RandomStream.mix(seed &+ RandomStream.mix(index &+ 0x9e37_79b9_7f4a_7c15))
    var writer = Writer(random: RandomStream(key: key))
    let label = writer.random.below(2)
    writer.writeReview(meaning: label)
    return Review(text: writer.text, label: label)
  }

  /// All words and punctuation marks of the grammar, in lower case, sorted.
  package static var words: [String] { Grammar.words }
}

/// Expands rules into text, and remembers what the review has already mentioned.
struct Writer {
  var random: RandomStream
  private var tokens: [String] = []
  private let thing: String
  /// Aspects not yet mentioned: a review never praises and criticises the same one.
  private var aspects: [String]
  private var measures: Set<String> = []

  init(random: RandomStream) {
    self.random = random
    let subject = self.random.pick(Lexicon.things)
    thing = subject.name
    aspects = subject.aspects
  }

  /// Writes one review from the table; every third has a neutral sentence before or after it.
  mutating func writeReview(meaning label: Int) {
    let place = random.below(6)
    if place == 0 { writeFiller() }
    write(choose(Grammar.reviews), meaning: label)
    if place == 1 { writeFiller() }
  }

  /// Expands a rule so that it expresses the label.
  mutating func write(_ rule: Grammar.Rule, meaning label: Int) {
    for part in rule.parts {
      switch part {
      case .word(let word): tokens.append(word)
      case .slot(let slot, let opposite): fill(slot, meaning: opposite ? 1 - label : label)
      }
    }
  }

  private mutating func fill(_ slot: Grammar.Slot, meaning label: Int) {
    switch slot {
    case .clause: write(choose(Grammar.clauses), meaning: label)
    case .adjective: add(random.pick(Lexicon.mild[label] + Lexicon.strong[label]))
    case .mild: add(random.pick(Lexicon.mild[label]))
    case .strong: add(random.pick(Lexicon.strong[label]))
    case .verb: add(random.pick(Lexicon.verb[label]))
    case .measure: writeMeasure(meaning: label)
    case .aspect: add(aspects.remove(at: random.below(aspects.count)))
    case .thing: add(thing)
    case .critics: add(random.pick(Lexicon.critics))
    case .boost: add(random.pick(Lexicon.boosters))
    case .soften: add(random.pick(Lexicon.softeners))
    case .is: add(random.pick(Grammar.copulas))
    }
  }

  private mutating func writeMeasure(meaning label: Int) {
    let pair = random.pick(Lexicon.measure[label].filter { !measures.contains($0.0) })
    measures.insert(pair.0)
    add(pair.0)
    add(random.pick(Grammar.copulas))
    add(pair.1)
  }

  private mutating func writeFiller() {
    add(random.pick(Lexicon.fillers))
    tokens.append(".")
  }

  private mutating func add(_ words: String) {
    tokens += words.split(separator: " ").map(String.init)
  }

  private mutating func choose(_ rules: [Grammar.Rule]) -> Grammar.Rule {
    var rest = random.below(rules.reduce(0) { $0 + $1.weight })
    for rule in rules {
      rest -= rule.weight
      if rest < 0 { return rule }
    }
    return rules[rules.count - 1]
  }

  /// The tokens as prose: no space before punctuation, a capital at the start of sentences and for "i".
  var text: String {
    var out = ""
    var startsSentence = true
    for token in tokens {
      if [".", ",", ";"].contains(token) {
        out += token
        startsSentence = token == "."
        continue
      }
      if !out.isEmpty { out += " " }
      let capital = startsSentence || token == "i"
      out += capital ? token.prefix(1).uppercased() + token.dropFirst() : token
      startsSentence = false
    }
    return out
  }
}

extension RandomStream {
  /// A random element of a non-empty list.
  fileprivate mutating func pick<Element>(_ list: [Element]) -> Element { list[below(list.count)] }
}
