import Platform
import Tokenizers

// Texts that are read apart: one or two sequences make an example.
extension ExampleReader {
  /// Appends a row with its text, or its two texts one after the other, each tokenised alone, in windows if it is long.
  ///
  /// A score is that of a pair, so a row of one text has none. Throws `.input` with the line of a refused row.
  func readSequences(_ row: Int, _ fields: [FieldValue], score: FieldValue, into out: inout TokenRows) throws {
    var sequences: [[Int32]] = []
    var isCut = false
    if let tokenizer {
      let second = try pairPlaces.map { try joined(fields, $0, columns.textPair, row) }
      let texts = [try text(fields, row)] + (second.map { [$0] } ?? [])
      for text in texts {
        var ids = tokenizer.encode(
          text, pair: nil, maxLength: windows == nil ? maxLength : nil, addSpecialTokens: true
        ).ids
        try requireTokens(ids, row)
        if let windows {
          if ids.count > windows.length { ids = windows.cut(ids).ids }
        } else {
          let whole = { tokenizer.encode(text, pair: nil, maxLength: nil, addSpecialTokens: true).ids }
          isCut = isCut || self.isCut(ids, whole)
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
    let windowed = sequences.map { ($0.count + (windows?.length ?? $0.count) - 1) / (windows?.length ?? $0.count) }
    let count = Int32(windowed.reduce(0, +))
    out.append(
      tokens: sequences.flatMap { $0 }, typeIDs: nil, label: value.isNaN ? -1 - count : count,
      targets: [Int32(sequences[0].count), Int32(bitPattern: value.bitPattern)], line: line)
  }
}
