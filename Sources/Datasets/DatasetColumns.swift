import Platform

/// The columns that form one text: usually one, otherwise several whose texts are joined by a separator.
package struct TextColumns: Sendable, Equatable, ExpressibleByStringLiteral, ExpressibleByArrayLiteral {
  /// The column names, at least one.
  package var names: [String]
  /// The separator between the texts of two columns.
  package static let separator = " "

  /// Several columns, joined in this order.
  package init(_ names: [String]) { self.names = names }
  /// One column.
  package init(_ name: String) { names = [name] }
  /// One column.
  package init(stringLiteral name: String) { names = [name] }
  /// Several columns, joined in this order.
  package init(arrayLiteral names: String...) { self.names = names }

  /// The names joined by plus signs, for messages.
  package var text: String { names.joined(separator: " + ") }

  /// The form in records: a string for one column, a list for several.
  package var json: JSON { names.count == 1 ? .string(names[0]) : .array(names.map(JSON.string)) }

  /// Parses what `json` writes; nil for anything else.
  package init?(json: JSON?) {
    if let name = json?.string {
      names = [name]
    } else if let names = json?.array?.compactMap(\.string), !names.isEmpty, names.count == json?.array?.count {
      self.names = names
    } else {
      return nil
    }
  }
}

/// The names of the columns that form an example; nil for columns that the data does not have.
package struct DatasetColumns: Sendable, Equatable {
  /// The text, or the first text of a pair.
  package var text: TextColumns?
  /// The second text of a pair.
  package var textPair: TextColumns?
  /// The target: a class as a name or number, a score, labels, the tags of words, the entities of a text.
  package var label: String?
  /// Numeric columns, in the order of the model's inputs.
  package var features: [String]?
  /// Token ids, special tokens included, instead of text.
  package var ids: String?
  /// The words of a text, instead of text.
  package var tokens: String?
  /// The prompt of a document, which comes first and is read but not predicted: text for documents of text, ids for
  /// documents of ids.
  package var prompt: String?

  /// The named columns; others are found in the file, see `TaskDescription.columns(in:)`.
  package init(
    text: TextColumns? = nil, textPair: TextColumns? = nil, label: String? = nil, features: [String]? = nil,
    ids: String? = nil, tokens: String? = nil, prompt: String? = nil
  ) {
    self.text = text
    self.textPair = textPair
    self.label = label
    self.features = features
    self.ids = ids
    self.tokens = tokens
    self.prompt = prompt
  }

  /// The names of all columns of text, words and ids.
  var inputs: [String] { (text?.names ?? []) + (textPair?.names ?? []) + [ids, tokens].compactMap { $0 } }
}
