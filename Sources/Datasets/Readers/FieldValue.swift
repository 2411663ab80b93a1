/// The value of one field of a row, with the type that the file gives it.
package enum FieldValue: Sendable, Equatable {
  /// The field is missing or null.
  case absent
  case text(String)
  case integer(Int)
  case real(Double)
  case flag(Bool)
  /// A JSON list of numbers.
  case list([Double])
  /// A JSON list of strings, at least one, or the words of a sentence.
  case words([String])
  /// A JSON list of objects, at least one.
  case objects([[String: FieldValue]])
  /// Any other value, described for an error message: "an object".
  case other(String)

  /// The type of the value, for an error message.
  package var kind: String {
    switch self {
    case .absent: "nothing"
    case .text: "text"
    case .integer: "an integer"
    case .real: "a number with a fraction"
    case .flag: "true or false"
    case .list(let numbers): numbers.isEmpty ? "an empty list" : "a list of numbers"
    case .words: "a list of words"
    case .objects: "a list of objects"
    case .other(let name): name
    }
  }
}

/// The format of a data file.
package enum FileFormat: String, Sendable, CaseIterable {
  /// Fields separated by tabs, with a header line and without quoting.
  case tsv
  /// RFC 4180 with a header record: fields separated by commas, with quotes around fields that need them.
  case csv
  /// One JSON object per line, or a JSON list of objects.
  case jsonl
  /// Plain text with the single column `text`: one row per line, without blank lines, or one per document.
  case text
  /// Sentences separated by blank lines, a word per line with its tag in the last column (CoNLL): the columns `tokens`
  /// and `tags`.
  case conll

  /// The format for a file's extension, ignoring a final `.gz`; nil for an unknown extension.
  package init?(path: String) {
    let name = path.lowercased()
    switch FileFormat.withoutCompression(name).split(separator: ".", omittingEmptySubsequences: false).last {
    case "tsv": self = .tsv
    case "csv": self = .csv
    case "jsonl", "json", "ndjson": self = .jsonl
    case "txt": self = .text
    case "conll", "bio", "iob", "iob2": self = .conll
    default: return nil
    }
  }

  /// A file name without a final `.gz`.
  static func withoutCompression(_ name: String) -> Substring {
    name.lowercased().hasSuffix(".gz") ? name.dropLast(3) : name[...]
  }
}

extension StringProtocol {
  /// The text without leading and trailing spaces.
  var trimmed: SubSequence {
    let start = drop { $0 == " " }
    guard let last = start.lastIndex(where: { $0 != " " }) else { return start }
    return start[...last]
  }
}
