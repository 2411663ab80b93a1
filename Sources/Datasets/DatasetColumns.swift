import Platform

/// The columns that make one text: mostly one, else several that are joined with a separator between them.
public struct TextColumns: Sendable, Equatable, ExpressibleByStringLiteral, ExpressibleByArrayLiteral {
  /// At least one.
  public var names: [String]
  /// What stands between the texts of two columns.
  public static let separator = " "

  /// Several columns, joined in this order.
  public init(_ names: [String]) { self.names = names }
  /// One column.
  public init(_ name: String) { names = [name] }
  /// One column.
  public init(stringLiteral name: String) { names = [name] }
  /// Several columns, joined in this order.
  public init(arrayLiteral names: String...) { self.names = names }

  /// The names with a plus sign between them, for messages.
  public var text: String { names.joined(separator: " + ") }

  /// Where records keep it: a text for one column, a list for several.
  public var json: JSON { names.count == 1 ? .string(names[0]) : .array(names.map(JSON.string)) }

  /// Reads what `json` writes; nil for anything else.
  public init?(json: JSON?) {
    if let name = json?.string {
      names = [name]
    } else if let names = json?.array?.compactMap(\.string), !names.isEmpty, names.count == json?.array?.count {
      self.names = names
    } else {
      return nil
    }
  }
}

/// The names of the columns that make an example; nil where the data has none.
public struct DatasetColumns: Sendable, Equatable {
  /// The text, or the first of a pair.
  public var text: TextColumns?
  /// The second text of a pair.
  public var textPair: TextColumns?
  /// The class, by name or by number.
  public var label: String?
  /// Numeric columns, in the order of the model's inputs.
  public var features: [String]?
  /// Token ids with special ones included, in place of text.
  public var ids: String?
  /// What stands before the text of a document and is read, but not predicted; of the same kind as the text, which is
  /// ids where the data has ids.
  public var prompt: String?

  /// The named columns; those left out are found out from the file, see `TaskDescription.columns(in:)`.
  public init(
    text: TextColumns? = nil, textPair: TextColumns? = nil, label: String? = nil, features: [String]? = nil,
    ids: String? = nil, prompt: String? = nil
  ) {
    self.text = text
    self.textPair = textPair
    self.label = label
    self.features = features
    self.ids = ids
    self.prompt = prompt
  }

  /// The names of all text columns and of ids.
  var inputs: [String] { (text?.names ?? []) + (textPair?.names ?? []) + [ids].compactMap { $0 } }
}
