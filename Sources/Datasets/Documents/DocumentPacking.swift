/// Cuts documents into pieces and packs the pieces into rows of at most `rowLength` tokens.
///
/// A document longer than a row is cut every `rowLength` tokens; a shorter one stays whole. Pieces are placed longest
/// first, each in the row with the least room that still holds it (best fit decreasing, which uses at most 11/9 of
/// the minimum number of rows, up to a constant; Johnson, 1973):
///
///     document 0   a a a a a a a a | a a a         rows of 8   row 0   a a a a a a a a
///     document 1   b b b b                                     row 1   a a a c
///     document 2   c                                           row 2   b b b b
///
/// Rows are ordered by their first pieces, and the pieces of a row by document. The packing depends on the lengths
/// and prompts only.
struct DocumentPacking: Sendable {
  /// A range of consecutive tokens of a document.
  struct Piece: Sendable, Equatable {
    var document: Int32
    /// The index of the first token in the document.
    var start: Int32
    var count: Int32
    /// The number of tokens that predict the token after them.
    var predicted: Int32
  }

  /// The pieces of all rows, row by row.
  let pieces: [Piece]
  /// The index of each row's first piece, followed by the number of pieces, [rows + 1].
  let rowStarts: [Int32]
  /// The number of documents without a predicted token: those of one token, and those that are all prompt.
  let emptyDocuments: Int

  /// - Parameters:
  ///   - lengths: tokens of each document, [N], at least 1 each.
  ///   - prompts: the number of leading tokens of a document that are not predicted; values below 1 count as 1.
  ///   - rowLength: maximum tokens of a row, at least 1.
  ///   - joins: true: pieces share rows; false: each piece has its own row.
  init(lengths: [Int32], prompts: (Int) -> Int32, rowLength: Int32, joins: Bool = true) {
    precondition(rowLength > 0, "a row has room for one token at least, not for \(rowLength)")
    var cut: [Piece] = []
    var empty = 0
    for (document, length) in lengths.enumerated() {
      let before = cut.count
      DocumentPacking.cut(Int32(document), length, prompt: max(1, prompts(document)), rowLength, into: &cut)
      if cut.count == before { empty += 1 }
    }
    emptyDocuments = empty
    let rows = joins ? DocumentPacking.rows(of: cut, rowLength) : cut.indices.map(Int32.init)
    (pieces, rowStarts) = DocumentPacking.ordered(cut, rows)
  }

  /// Appends the pieces of a document that predict a token. The last token of a piece predicts the first token of the
  /// next piece, so a piece that holds only the document's last token predicts nothing; nor does one inside the prompt.
  private static func cut(
    _ document: Int32, _ length: Int32, prompt: Int32, _ rowLength: Int32, into pieces: inout [Piece]
  ) {
    for start in stride(from: 0, to: length, by: Int(rowLength)) {
      let count = min(rowLength, length - start)
      let predicted = min(start + count, length - 1) - max(start, prompt - 1)
      if predicted > 0 {
        pieces.append(Piece(document: document, start: start, count: count, predicted: predicted))
      }
    }
  }

  /// The row of each piece, by best fit, longest first; rows are numbered in the order they are opened.
  private static func rows(of pieces: [Piece], _ rowLength: Int32) -> [Int32] {
    var rows = [Int32](repeating: 0, count: pieces.count)
    var room = RoomTable(largest: Int(rowLength))
    for piece in longestFirst(pieces, rowLength) {
      let count = Int(pieces[piece].count)
      rows[piece] = Int32(room.take(atLeast: count))
    }
    return rows
  }

  /// The indices of pieces by length, longest first; equal lengths keep their order. A counting sort.
  private static func longestFirst(_ pieces: [Piece], _ rowLength: Int32) -> [Int] {
    var ends = [Int](repeating: 0, count: Int(rowLength) + 2)
    for piece in pieces { ends[Int(rowLength - piece.count) + 1] += 1 }
    for length in 1..<ends.count { ends[length] += ends[length - 1] }
    var order = [Int](repeating: 0, count: pieces.count)
    for (index, piece) in pieces.enumerated() {
      let place = Int(rowLength - piece.count)
      order[ends[place]] = index
      ends[place] += 1
    }
    return order
  }

  /// The pieces sorted by row, and where each row starts; rows are renumbered in the order of their first pieces.
  private static func ordered(_ pieces: [Piece], _ rows: [Int32]) -> ([Piece], [Int32]) {
    let count = Int(rows.max() ?? -1) + 1
    var number = [Int32](repeating: -1, count: count)
    var next: Int32 = 0
    var starts = [Int32](repeating: 0, count: count + 1)
    for row in rows {
      if number[Int(row)] < 0 {
        number[Int(row)] = next
        next += 1
      }
      starts[Int(number[Int(row)]) + 1] += 1
    }
    for row in 0..<count { starts[row + 1] += starts[row] }
    var places = starts
    var result = pieces
    for (index, piece) in pieces.enumerated() {
      let row = Int(number[Int(rows[index])])
      result[Int(places[row])] = piece
      places[row] += 1
    }
    return (result, starts)
  }
}

/// Rows by remaining room, to find the fullest row that still has enough.
private struct RoomTable {
  /// The row most recently added for each amount of room, or -1.
  private var heads: [Int32]
  /// For each row, the row that was added before it for the same room, or -1.
  private var others: [Int32] = []
  /// One bit per amount of room that some row has; `summary` has one bit per word that is not zero.
  private var words: [UInt64]
  private var summary: [UInt64]
  private let largest: Int

  init(largest: Int) {
    self.largest = largest
    heads = [Int32](repeating: -1, count: largest + 1)
    words = [UInt64](repeating: 0, count: largest / 64 + 1)
    summary = [UInt64](repeating: 0, count: largest / 4096 + 1)
  }

  /// Takes room from the fullest row that has enough, or from a new row; returns the row.
  mutating func take(atLeast count: Int) -> Int {
    let row: Int
    let left: Int
    if let room = smallest(from: count) {
      row = Int(heads[room])
      heads[room] = others[row]
      if heads[room] < 0 { clear(room) }
      left = room - count
    } else {
      row = others.count
      others.append(-1)
      left = largest - count
    }
    if left > 0 {
      others[row] = heads[left]
      heads[left] = Int32(row)
      words[left / 64] |= 1 << UInt64(left % 64)
      summary[left / 4096] |= 1 << UInt64(left / 64 % 64)
    }
    return row
  }

  private mutating func clear(_ room: Int) {
    words[room / 64] &= ~(1 << UInt64(room % 64))
    if words[room / 64] == 0 { summary[room / 4096] &= ~(1 << UInt64(room / 64 % 64)) }
  }

  /// The smallest room of at least `count` that a row has.
  private func smallest(from count: Int) -> Int? {
    guard count <= largest else { return nil }
    let bits = words[count / 64] & (~0 << UInt64(count % 64))
    if bits != 0 { return count / 64 * 64 + bits.trailingZeroBitCount }
    let word = count / 64 + 1
    guard word < words.count else { return nil }
    var index = word / 64
    var marks = summary[index] & (~0 << UInt64(word % 64))
    while marks == 0 {
      index += 1
      if index == summary.count { return nil }
      marks = summary[index]
    }
    let found = index * 64 + marks.trailingZeroBitCount
    return found * 64 + words[found].trailingZeroBitCount
  }
}
