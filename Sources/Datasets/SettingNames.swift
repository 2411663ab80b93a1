/// By which words a message names a setting: the keys of a chain file, or the options of a command.
public enum SettingNames: Sendable, Equatable {
  case chainFile
  case options

  /// How columns are named.
  var columns: String {
    self == .chainFile
      ? "name the columns under task: {text: …, label: …}" : "name the columns with --text, --text-pair and --label"
  }

  /// How the label's column is named, or left out.
  var label: String {
    self == .chainFile
      ? "name the column under task: {label: …}, or say that training is without labels: task: {label: null}"
      : "name the column with --label"
  }

  /// How a table's columns are named that has no header.
  var header: String { self == .chainFile ? "task: {columns: [text, label]}" : "--columns text,label" }

  /// How classes are named.
  var classes: String {
    self == .chainFile
      ? "name the classes in order: task: {labels: […]}"
      : "correct the rows, or the names of the model's classes (id2label of its config.json)"
  }

  /// How it is said what labels are.
  var reading: String {
    self == .chainFile
      ? "say which: task: {labels_are: name} or task: {labels_are: index}"
      : "say which: --labels-are name or --labels-are index"
  }

  /// How numeric columns are named.
  var features: String {
    self == .chainFile
      ? "name the numeric columns under task: {features: […]}" : "give the columns that the model was trained on"
  }

  /// How the cut of documents is named.
  var documents: String { self == .chainFile ? "task: {documents: …}" : "--documents" }
}
