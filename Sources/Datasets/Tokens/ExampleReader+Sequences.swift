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
        let own = tokenizer.encodeNotingCuts(text, pair: nil, maxLength: windows == nil ? maxLength : nil)
        let ids = own.encoding.ids
        try requireTokens(ids, row)
        isCut = isCut || own.isCut
        sequences.append(windows.map { ids.count > $0.length ? $0.cut(ids).ids : ids } ?? ids)
      }
    } else if let name = columns.ids {
      var ids = try ids(fields[0], name, row)
      isCut = cut(&ids)
      sequences.append(ids)
    }
    let line = file.line(of: row)
    if isCut { out.noteCut(line: line) }
    let value = sequences.count == 2 ? try TargetField.score(score, at: file.location(of: row)) : .nan
    let tokens = sequences.flatMap { $0 }
    let count = Int32(
      ExampleSequence.all(of: tokens.count, firstText: sequences[0].count, window: windows?.length ?? 0).count)
    out.append(
      tokens: tokens, typeIDs: nil, label: value.isNaN ? -1 - count : count,
      targets: [Int32(sequences[0].count), Int32(bitPattern: value.bitPattern)], line: line)
  }
}
