/// How messages name settings: by the keys of a chain file or by the options of a command.
package enum SettingNames: Sendable, Equatable {
  case chainFile
  case options

  /// The instruction to name the columns.
  var columns: String {
    self == .chainFile
      ? "name the columns under task: {text: …, label: …}" : "name the columns with --text, --text-pair and --label"
  }

  /// The instruction to name the label column or to leave it out.
  var label: String {
    self == .chainFile
      ? "name the column under task: {label: …}, or say that training is without labels: task: {label: null}"
      : "name the column with --label"
  }

  /// The setting that names the columns of a table without a header.
  var header: String { self == .chainFile ? "task: {columns: [text, label]}" : "--columns text,label" }

  /// The instruction to name the classes.
  var classes: String {
    self == .chainFile
      ? "name the classes in order: task: {labels: […]}"
      : "correct the rows, or the names of the model's classes (id2label of its config.json)"
  }

  /// The instruction to say how labels are read.
  var reading: String {
    self == .chainFile
      ? "say which: task: {labels_are: name} or task: {labels_are: index}"
      : "say which: --labels-are name or --labels-are index"
  }

  /// The instruction to name the numeric columns.
  var features: String {
    self == .chainFile
      ? "name the numeric columns under task: {features: […]}" : "give the columns that the model was trained on"
  }

  /// The setting for the most tokens of an example.
  var maxLength: String { self == .chainFile ? "metadata.max_length" : "--max-length" }

  /// The setting for the cut of plain text into documents.
  var documents: String { self == .chainFile ? "task: {documents: …}" : "--documents" }
}
