import Platform
import Tokenizers

/// The words of a file's rows, and which of them have a row of the loss or an answer.
package final class CountedWords: Sendable {
  /// A word.
  package struct Word: Sendable, Equatable {
    /// Its characters (Unicode scalars) in the text; of a row of words, in the words joined by spaces.
    package let range: Range<Int>
  }

  /// The words of a row, with its text.
  package struct Row {
    /// All its words.
    package let words: [Word]
    /// The word of each row of the loss.
    package let counted: [Int]
    fileprivate let scalars: [Unicode.Scalar]

    /// The text between two words, both included.
    package func text(from first: Word, to last: Word) -> String {
      String(scalars: scalars[first.range.lowerBound..<min(scalars.count, last.range.upperBound)])
    }
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
    // In windows every word counts, in the order of the text.
    self.maxLength = task.stride == nil ? maxLength : nil
    subwords = task.subwords
  }

  /// The words of a row.
  package func read(_ row: Int) throws -> Row {
    let fields = try file.read(row, selection)
    let words: RowWords
    if case .words(let texts)? = fields.first {
      words = RowWords(words: texts)
    } else {
      words = RowWords(text: CountedWords.joined(fields))
    }
    return Row(
      words: words.ranges.map(Word.init),
      counted: RowWords.counted(words.encoded(by: tokenizer, maxLength: maxLength), subwords).map(\.word),
      scalars: Array((words.text ?? words.texts.joined(separator: " ")).unicodeScalars))
  }

  /// The text of a row, or the texts of several columns joined as the reader of examples joins them.
  private static func joined(_ fields: [FieldValue]) -> String {
    let texts = fields.map { if case .text(let text) = $0 { text } else { "" } }
    return texts.count == 1 ? texts[0] : texts.filter { !$0.isEmpty }.joined(separator: TextColumns.separator)
  }
}
