/// The words for the grammar's slots.
///
/// The polarity is that of the word alone; the meaning of a review depends on the words around it.
enum Lexicon {
  /// The reviewed things, with the aspects that a clause can mention.
  static let things: [(name: String, aspects: [String])] = [
    ("film", ["plot", "acting", "ending", "music", "dialogue", "camera work", "opening"]),
    ("book", ["plot", "style", "ending", "dialogue", "translation", "cover", "opening"]),
    ("hotel", ["room", "breakfast", "service", "bed", "view", "garden", "pool"]),
    ("restaurant", ["soup", "bread", "service", "wine", "dessert", "music", "terrace"]),
    ("phone", ["screen", "battery", "camera", "sound", "design", "keyboard", "signal"]),
    ("concert", ["sound", "singer", "stage", "opening", "lighting", "hall", "orchestra"]),
    ("museum", ["collection", "guide", "building", "garden", "lighting", "shop", "tour"]),
    ("game", ["plot", "music", "tutorial", "design", "ending", "opening", "sound"]),
  ]

  /// Weak adjectives.
  static let mild = Polar(
    positive: ["good", "nice", "pleasant", "decent", "charming", "clever"],
    negative: ["bad", "weak", "dull", "poor", "flat", "boring"])

  /// Strong adjectives.
  static let strong = Polar(
    positive: ["superb", "wonderful", "brilliant", "lovely", "excellent", "splendid"],
    negative: ["dreadful", "terrible", "awful", "horrible", "hideous", "miserable"])

  /// Verbs in the form that follows "did" and "failed to".
  static let verb = Polar(
    positive: ["please", "delight", "impress"],
    negative: ["annoy", "bore", "disappoint"])

  /// Pairs of a noun and an adjective whose polarity depends on the pair.
  static let measure = Polar(
    positive: [
      ("price", "low"), ("quality", "high"), ("cost", "small"), ("value", "great"), ("queue", "short"),
      ("guarantee", "long"), ("noise level", "low"), ("standard", "high"),
    ],
    negative: [
      ("price", "high"), ("quality", "low"), ("cost", "great"), ("value", "small"), ("queue", "long"),
      ("guarantee", "short"), ("noise level", "high"), ("standard", "low"),
    ])

  /// People whose opinion may differ from the reviewer's.
  static let critics = [
    "critics", "my friends", "most visitors", "the papers", "my parents", "some people", "our neighbours",
  ]

  /// Adverbs that strengthen.
  static let boosters = ["utterly", "really", "truly", "absolutely", "very", "completely"]

  /// Adverbs that weaken but keep the polarity.
  static let softeners = ["slightly", "somewhat", "a little", "a bit"]

  /// Sentences that say nothing about quality.
  static let fillers = [
    "it was a monday", "my sister came along", "i paid for it myself", "we stayed until eight",
    "it was our second time", "i heard of it last year", "we went there by train", "my brother chose it",
  ]
}

/// A pair of lists, one for each polarity.
struct Polar<Element: Sendable>: Sendable {
  let positive: [Element]
  let negative: [Element]

  /// The list for a label: 1 positive, 0 negative.
  subscript(label: Int) -> [Element] { label == 1 ? positive : negative }
}
