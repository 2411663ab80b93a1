import Platform
import Tokenizers

// Texts that are read apart: one or two sequences make an example.
extension ExampleReader {
  /// Appends a row with its text, or its two texts one after the other, each tokenised alone.
  ///
  /// A score is that of a pair, so a row of one text has none. Throws `.input` with the line of a refused row.
  func readSequences(_ row: Int, _ fields: [FieldValue], score: FieldValue, into out: inout TokenRows) throws {
    var sequences: [[Int32]] = []
    var isCut = false
    if let tokenizer {
      let second = try pairPlaces.map { try joined(fields, $0, columns.textPair, row) }
      let texts = [try text(fields, row)] + (second.map { [$0] } ?? [])
      for text in texts {
        let ids = tokenizer.encode(text, pair: nil, maxLength: maxLength, addSpecialTokens: true).ids
        try requireTokens(ids, row)
        if let maxLength, ids.count == maxLength {
          let whole = tokenizer.encode(text, pair: nil, maxLength: nil, addSpecialTokens: true).ids
          isCut = isCut || whole.count > maxLength
        }
        sequences.append(ids)
      }
    } else if let name = columns.ids {
      var ids = try ids(fields[0], name, row)
      isCut = cut(&ids)
      sequences.append(ids)
    }
    let line = file.line(of: row)
    if isCut { out.noteCut(line: line) }
    let value = sequences.count == 2 ? try TargetField.score(score, at: file.location(of: row)) : .nan
    let count = Int32(sequences.count)
    out.append(
      tokens: sequences.flatMap { $0 }, typeIDs: nil, label: value.isNaN ? -1 - count : count,
      targets: [Int32(sequences[0].count), Int32(bitPattern: value.bitPattern)], line: line)
  }
}
