import Testing

@testable import Demo

@Suite struct ReviewTests {
  @Test func `the same seed and index give the same review`() {
    let (one, other) = (ReviewGenerator(seed: 3), ReviewGenerator(seed: 3))
    for index in [0, 1, 17, 1 << 40] as [UInt64] { #expect(one.review(at: index) == other.review(at: index)) }
    #expect((0..<50).contains { one.review(at: $0) != ReviewGenerator(seed: 4).review(at: $0) })
  }

  @Test func `neighbouring indices have nothing in common`() {
    let generator = ReviewGenerator(seed: 3)
    #expect(Set((0..<200).map { generator.review(at: $0).text }).count > 190)
  }

  @Test func `these two reviews never change`() {
    // Results are only comparable over versions while the data are the same: this test holds the stream still.
    let generator = ReviewGenerator(seed: 7)
    let first = "Although the collection was very pleasant, the garden never failed to disappoint us."
    let second = "It would have been lovely if the singer were not so weak."
    #expect(generator.review(at: 0) == Review(text: first, label: 0))
    #expect(generator.review(at: 1) == Review(text: second, label: 0))
  }

  @Test func `labels are balanced`() {
    let generator = ReviewGenerator(seed: 11)
    let positive = (0..<4000).reduce(0) { $0 + generator.review(at: UInt64($1)).label }
    #expect((1800...2200).contains(positive))
  }

  @Test func `prose has capitals and no space before punctuation`() {
    let generator = ReviewGenerator(seed: 5)
    for index in 0..<500 {
      let text = generator.review(at: UInt64(index)).text
      #expect(text.first?.isUppercase == true && text.hasSuffix("."))
      for wrong in [" .", " ,", " ;", " i ", "  ", "@", "\t"] { #expect(!text.contains(wrong), "\(text)") }
      for sentence in text.split(separator: ".") {
        #expect(sentence.drop(while: { $0 == " " }).first?.isUppercase == true, "\(text)")
      }
    }
  }

  @Test func `a review never speaks of one aspect twice`() {
    let generator = ReviewGenerator(seed: 9)
    let aspects = Set(Lexicon.things.flatMap(\.aspects))
    for index in 0..<500 {
      let review = generator.review(at: UInt64(index)).text
      for aspect in aspects {
        let mentions = " \(review.lowercased()) ".ranges(of: "the \(aspect) ").count
        #expect(mentions <= 1, "\(review)")
      }
    }
  }
}

/// Sentences whose label a person wrote down, each held against the rule that makes it.
///
/// The test parses nothing: it asks the grammar for every sentence that a rule can build with fixed words, and looks
/// which label stands beside the sentence.
@Suite struct GrammarLabelTests {
  static let judged: [(sentence: String, label: Int)] = [
    ("The plot is good.", 1),
    ("The plot is not good.", 0),
    ("The plot is not good at all.", 0),
    ("The plot is never boring.", 1),
    ("The plot is barely good.", 0),
    ("The plot is hardly boring.", 1),
    ("The plot is anything but boring.", 1),
    ("The plot is nothing but good.", 1),
    ("The plot failed to bore us.", 1),
    ("The plot never failed to bore us.", 0),
    ("The plot never failed to please us.", 1),
    ("The price is high.", 0),
    ("The quality is high.", 1),
    ("The queue is long.", 0),
    ("The guarantee is long.", 1),
    ("The plot is boring, but the acting is good.", 1),
    ("The plot is not boring, but the acting is not good.", 0),
    ("Although the plot is boring, the acting is good.", 1),
    ("The plot is boring, although the acting is good.", 0),
    ("The plot is slightly boring, and the acting is utterly superb.", 1),
    ("The plot is utterly dreadful, and the acting is slightly good.", 0),
    ("I expected the film to be boring. It is good.", 1),
    ("I expected the plot to be good, and I was wrong.", 0),
    ("Critics called the film boring; they were wrong.", 1),
    ("Critics called the film boring; they were right.", 0),
    ("Critics said that the plot is not boring. I disagree.", 0),
    ("It is not true that the plot is not good.", 1),
    ("Nobody could deny that the plot is good.", 1),
    ("I do not think that the plot never failed to please us.", 0),
    ("It would have been good if the plot were not so boring.", 0),
    ("Without the good plot, the film would have been boring.", 1),
    ("Our last film was good; this one is the opposite.", 0),
    ("Our last film was good; this one is no different.", 1),
  ]

  @Test(arguments: judged) func `a person agrees with the label`(sentence: String, label: Int) {
    let tokens = GrammarLabelTests.tokens(sentence)
    let labels = Set([0, 1].filter { candidate in
      Grammar.reviews.contains { rule in GrammarLabelTests.matches(rule.parts[...], tokens[...], candidate) }
    })
    #expect(labels == [label], "\(sentence)")
  }

  /// Lower-case words and punctuation marks.
  static func tokens(_ sentence: String) -> [String] {
    var spaced = sentence.lowercased()
    for mark in [".", ",", ";"] { spaced = spaced.replacing(mark, with: " \(mark)") }
    return spaced.split(separator: " ").map(String.init)
  }

  /// Whether the parts can be filled to give exactly the tokens while meaning the label.
  static func matches(_ parts: ArraySlice<Grammar.Part>, _ tokens: ArraySlice<String>, _ label: Int) -> Bool {
    guard let part = parts.first else { return tokens.isEmpty }
    let rest = parts.dropFirst()
    switch part {
    case .word(let word): return tokens.first == word && matches(rest, tokens.dropFirst(), label)
    case .slot(.clause, let opposite):
      let meaning = opposite ? 1 - label : label
      return Grammar.clauses.contains { clause in
        (1...max(1, tokens.count)).contains { length in
          matches(clause.parts[...], tokens.prefix(length), meaning) && matches(rest, tokens.dropFirst(length), label)
        }
      }
    case .slot(let slot, let opposite):
      return fillings(slot, opposite ? 1 - label : label).contains { filling in
        tokens.starts(with: filling) && matches(rest, tokens.dropFirst(filling.count), label)
      }
    }
  }

  static func fillings(_ slot: Grammar.Slot, _ label: Int) -> [[String]] {
    let lines: [String] =
      switch slot {
      case .clause: []
      case .adjective: Lexicon.mild[label] + Lexicon.strong[label]
      case .mild: Lexicon.mild[label]
      case .strong: Lexicon.strong[label]
      case .verb: Lexicon.verb[label]
      case .measure: Lexicon.measure[label].flatMap { pair in Grammar.copulas.map { "\(pair.0) \($0) \(pair.1)" } }
      case .aspect: Lexicon.things.flatMap(\.aspects)
      case .thing: Lexicon.things.map(\.name)
      case .critics: Lexicon.critics
      case .boost: Lexicon.boosters
      case .soften: Lexicon.softeners
      case .is: Grammar.copulas
      }
    return lines.map { $0.split(separator: " ").map(String.init) }
  }
}
