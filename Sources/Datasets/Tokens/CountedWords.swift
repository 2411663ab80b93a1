import Platform
import Tokenizers

/// The words of a file's rows, and which of them have a row of the loss or an answer.
package final class CountedWords: Sendable {
  /// A word that counts.
  package struct Word: Sendable, Equatable {
    /// Its number in the row.
    package let index: Int
    package let text: String
    /// Its characters (Unicode scalars) in the text; of a row of words, in the words joined by spaces.
    package let range: Range<Int>
  }

  private let file: RowFile
  private let columns: DatasetColumns
  private let selection: RowSelection
  private let tokenizer: any Tokenizer
  private let maxLength: Int?
  private let subwords: SubwordUse

  /// The words of a task's file; nil for a file of ids. Throws `.input` as the reading of the file does.
  package init?(
    _ split: DatasetSplit, _ task: TaskDescription, _ tokenizer: (any Tokenizer)?, maxLength: Int?
  ) throws {
    file = try task.open(split)
    columns = try task.columns(in: file)
    guard let tokenizer, columns.ids == nil, let names = columns.tokens.map({ [$0] }) ?? columns.text?.names else {
      return nil
    }
    selection = try file.select(names)
    self.tokenizer = tokenizer
    self.maxLength = maxLength
    subwords = task.subwords
  }

  /// The words of a row that count, in the order of its rows in a batch.
  package func words(of row: Int) throws -> [Word] {
    let words = try all(of: row)
    var last: Int32 = -1
    var counted: [Word] = []
    for index in words.encoded(by: tokenizer, maxLength: maxLength).words where index >= 0 {
      if subwords == .all || index != last {
        let place = Int(index)
        counted.append(Word(index: place, text: words.texts[place], range: words.ranges[place]))
      }
      last = index
    }
    return counted
  }

  private func all(of row: Int) throws -> RowWords {
    let fields = try file.read(row, selection)
    if case .words(let words)? = fields.first { return RowWords(words: words) }
    return RowWords(text: CountedWords.joined(fields))
  }

  /// The text between two words of a row, both included.
  package func text(of row: Int, from first: Word, to last: Word) throws -> String {
    let words = try all(of: row)
    let scalars = Array((words.text ?? words.texts.joined(separator: " ")).unicodeScalars)
    var text = String.UnicodeScalarView()
    text.append(contentsOf: scalars[first.range.lowerBound..<min(scalars.count, last.range.upperBound)])
    return String(text)
  }

  /// The text of a row, or the texts of several columns joined as the reader of examples joins them.
  private static func joined(_ fields: [FieldValue]) -> String {
    let texts = fields.map { if case .text(let text) = $0 { text } else { "" } }
    return texts.count == 1 ? texts[0] : texts.filter { !$0.isEmpty }.joined(separator: TextColumns.separator)
  }
}
