/// A public benchmark with well-known column and class names.
///
/// A layout is one set of columns with which its files are distributed: that of the Hugging Face hub, or that of the
/// benchmark's own archive.
struct WellKnownTask: Sendable {
  let layouts: [DatasetColumns]
  /// The classes; nil for a task without classes.
  let labelNames: [String]?
  var kind = TaskKind.classification
  /// The columns of files without a header.
  var headerless: [String]?
  /// Whether rows of such files can have further fields.
  var hasMoreFields = false
  /// The reading of labels in files without a header, for tasks whose labels count from 1 and could be read from 0.
  var headerlessReading: LabelReading?

  /// A task's name without case and separators: SST-2, sst2 and sst_2 are the same.
  static func key(_ name: String) -> String { name.lowercased().filter { $0.isLetter || $0.isNumber } }

  private static func pair(_ first: TextColumns, _ second: TextColumns, label: String = "label") -> DatasetColumns {
    DatasetColumns(text: first, textPair: second, label: label)
  }

  private static func single(_ text: TextColumns, label: String = "label") -> DatasetColumns {
    DatasetColumns(text: text, label: label)
  }

  /// Names of the first text of an example, most common first.
  static let usualTexts = [
    "text", "sentence", "sentence1", "premise", "question", "question1", "text1", "text_a", "query", "#1 String",
    "first",
  ]

  /// Names of two texts that are read as a pair.
  static let usualPairs: [(String, String)] = [
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("question", "sentence"),
    ("text", "text_pair"), ("text1", "text2"), ("text_a", "text_b"), ("#1 String", "#2 String"),
  ]

  /// Further names of a second text.
  static let usualPartners: Set<String> = [
    "text", "sentence", "premise", "question", "query", "context", "passage", "answer", "response", "second",
    "document",
  ]

  static let all: [String: WellKnownTask] = [
    "sst2": WellKnownTask(layouts: [single("sentence")], labelNames: ["negative", "positive"]),
    "cola": WellKnownTask(
      layouts: [single("sentence")], labelNames: ["unacceptable", "acceptable"],
      headerless: ["source", "label", "mark", "sentence"]),
    "mrpc": WellKnownTask(
      layouts: [pair("sentence1", "sentence2"), pair("#1 String", "#2 String", label: "Quality")],
      labelNames: ["not_equivalent", "equivalent"]),
    "qqp": WellKnownTask(
      layouts: [pair("question1", "question2"), pair("question1", "question2", label: "is_duplicate")],
      labelNames: ["not_duplicate", "duplicate"]),
    "mnli": WellKnownTask(
      layouts: [pair("premise", "hypothesis"), pair("sentence1", "sentence2", label: "gold_label")],
      labelNames: ["entailment", "neutral", "contradiction"]),
    "snli": WellKnownTask(
      layouts: [pair("premise", "hypothesis"), pair("sentence1", "sentence2", label: "gold_label")],
      labelNames: ["entailment", "neutral", "contradiction"]),
    "qnli": WellKnownTask(layouts: [pair("question", "sentence")], labelNames: ["entailment", "not_entailment"]),
    "rte": WellKnownTask(layouts: [pair("sentence1", "sentence2")], labelNames: ["entailment", "not_entailment"]),
    "wnli": WellKnownTask(layouts: [pair("sentence1", "sentence2")], labelNames: ["not_entailment", "entailment"]),
    "stsb": WellKnownTask(
      layouts: [
        pair("sentence1", "sentence2", label: "score"), pair("sentence1", "sentence2"),
        pair("text1", "text2", label: "score"),
      ], labelNames: nil, kind: .regression,
      headerless: ["genre", "filename", "year", "index", "score", "sentence1", "sentence2"],
      hasMoreFields: true),
    "goemotions": WellKnownTask(
      layouts: [single("text", label: "labels")],
      labelNames: [
        "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
        "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy",
        "love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise",
        "neutral",
      ], kind: .multiLabel, headerless: ["text", "labels", "id"]),
    "agnews": WellKnownTask(
      layouts: [
        single("text"), single(["title", "description"]), single(["Title", "Description"], label: "Class Index"),
      ], labelNames: ["World", "Sports", "Business", "Sci/Tech"], headerless: ["label", "title", "description"],
      headerlessReading: .indexFromOne),
    "imdb": WellKnownTask(
      layouts: [single("text"), single("review", label: "sentiment")], labelNames: ["negative", "positive"]),
    "rottentomatoes": WellKnownTask(layouts: [single("text")], labelNames: ["negative", "positive"]),
    "yelppolarity": WellKnownTask(
      layouts: [single("text")], labelNames: ["negative", "positive"], headerless: ["label", "text"],
      headerlessReading: .indexFromOne),
    "emotion": WellKnownTask(
      layouts: [single("text")], labelNames: ["sadness", "joy", "love", "anger", "fear", "surprise"]),
  ]

  /// The usual spelling of the known tasks' names.
  static let names = [
    "ag_news", "cola", "emotion", "go_emotions", "imdb", "mnli", "mrpc", "qnli", "qqp", "rotten_tomatoes", "rte",
    "snli", "sst2",
    "stsb", "wnli",
    "yelp_polarity",
  ]
}
