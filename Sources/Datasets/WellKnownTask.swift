/// A public classification benchmark whose column and class names are common knowledge.
///
/// A layout is one way in which its files circulate: as the Hugging Face hub writes them, or as the benchmark's own
/// archive has them.
struct WellKnownTask: Sendable {
  let layouts: [DatasetColumns]
  let labelNames: [String]
  /// The columns of files that come without a header.
  var headerless: [String]?

  /// A task's name without case and separators: SST-2, sst2 and sst_2 are one.
  static func key(_ name: String) -> String { name.lowercased().filter { $0.isLetter || $0.isNumber } }

  private static func pair(_ first: String, _ second: String, label: String = "label") -> DatasetColumns {
    DatasetColumns(text: first, textPair: second, label: label)
  }

  static let all: [String: WellKnownTask] = [
    "sst2": WellKnownTask(
      layouts: [DatasetColumns(text: "sentence", label: "label")], labelNames: ["negative", "positive"]),
    "cola": WellKnownTask(
      layouts: [DatasetColumns(text: "sentence", label: "label")], labelNames: ["unacceptable", "acceptable"],
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
    "qnli": WellKnownTask(layouts: [pair("question", "sentence")], labelNames: ["entailment", "not_entailment"]),
    "rte": WellKnownTask(layouts: [pair("sentence1", "sentence2")], labelNames: ["entailment", "not_entailment"]),
    "wnli": WellKnownTask(layouts: [pair("sentence1", "sentence2")], labelNames: ["not_entailment", "entailment"]),
  ]
}
