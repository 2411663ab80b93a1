/// One field of a row, as its file spells it.
public enum FieldValue: Sendable, Equatable {
  /// The field is not there, or null.
  case absent
  case text(String)
  case integer(Int)
  case real(Double)
  case flag(Bool)
  /// A JSON list of numbers.
  case list([Double])
  /// Anything else, named for an error message: "an object".
  case other(String)

  /// What it is, for an error message.
  public var kind: String {
    switch self {
    case .absent: "nothing"
    case .text: "text"
    case .integer: "an integer"
    case .real: "a number with a fraction"
    case .flag: "true or false"
    case .list: "a list of numbers"
    case .other(let name): name
    }
  }
}

/// How the rows of a data file are written.
public enum FileFormat: String, Sendable, CaseIterable {
  /// Fields between tabs, a header line, no quoting.
  case tsv
  /// RFC 4180 with a header record: fields between commas, quotes around fields that need them.
  case csv
  /// A JSON object a line, or a JSON list of objects.
  case jsonl
  /// A text a line, as the column `text`; blank lines are skipped.
  case text

  /// The format that a file's name tells, or nil; of a compressed file the name before `.gz`.
  public init?(path: String) {
    let name = path.lowercased()
    switch FileFormat.withoutCompression(name).split(separator: ".", omittingEmptySubsequences: false).last {
    case "tsv": self = .tsv
    case "csv": self = .csv
    case "jsonl", "json", "ndjson": self = .jsonl
    case "txt": self = .text
    default: return nil
    }
  }

  /// A name without the ending of a compressed file.
  static func withoutCompression(_ name: String) -> Substring {
    name.lowercased().hasSuffix(".gz") ? name.dropLast(3) : name[...]
  }
}

extension StringProtocol {
  /// The text without spaces at its ends.
  var trimmed: SubSequence {
    let start = drop { $0 == " " }
    guard let last = start.lastIndex(where: { $0 != " " }) else { return start }
    return start[...last]
  }
}
