/// The words that the grammar's slots are filled with.
///
/// A word's polarity holds for the word alone; what a review says depends on the words around it.
enum Lexicon {
  /// What is reviewed, with the parts of it that a clause can speak of.
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

  /// Adjectives of little strength.
  static let mild = Polar(
    positive: ["good", "nice", "pleasant", "decent", "charming", "clever"],
    negative: ["bad", "weak", "dull", "poor", "flat", "boring"])

  /// Adjectives of great strength.
  static let strong = Polar(
    positive: ["superb", "wonderful", "brilliant", "lovely", "excellent", "splendid"],
    negative: ["dreadful", "terrible", "awful", "horrible", "hideous", "miserable"])

  /// What a thing does to us, in the form that follows "did" and "failed to".
  static let verb = Polar(
    positive: ["please", "delight", "impress"],
    negative: ["annoy", "bore", "disappoint"])

  /// Adjectives that are good of one noun and bad of another: the pair decides.
  static let measure = Polar(
    positive: [
      ("price", "low"), ("quality", "high"), ("cost", "small"), ("value", "great"), ("queue", "short"),
      ("guarantee", "long"), ("noise level", "low"), ("standard", "high"),
    ],
    negative: [
      ("price", "high"), ("quality", "low"), ("cost", "great"), ("value", "small"), ("queue", "long"),
      ("guarantee", "short"), ("noise level", "high"), ("standard", "low"),
    ])

  /// People whose opinion need not be the reviewer's.
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
