/// Tokenised rows, sent from the rank that reads them to the ranks that write the token file.
///
/// They are serialised as one self-describing array of `Int32`, so that the rows of all ranks are gathered in one
/// message and parsed again:
///
///     rows · payload words · largest id · its line · largest segment · its line · cut rows · first cut line
///     lengths [rows] · labels [rows] · has segments [rows] · hashes [rows, 2] · payload
///
/// The payload of a row is its ids, followed by its segments if any is not zero, and by its targets if they are more
/// than a class (`RowTargets`).
struct TokenRows: Sendable {
  private static let headerWords = 8

  var lengths: [Int32] = []
  var labels: [Int32] = []
  var hasTypes: [Bool] = []
  var hashes: [UInt64] = []
  var payload: [Int32] = []
  /// The largest id and the line of its first occurrence; -1 while there are no tokens.
  var largestID: Int32 = -1
  var largestIDLine: Int32 = 0
  /// The largest segment and the line of its first occurrence.
  var largestType: Int32 = 0
  var largestTypeLine: Int32 = 0
  /// The number of rows of ids that were truncated to the maximum length, and the line of the first.
  var cutRows: Int32 = 0
  var firstCutLine: Int32 = 0

  init() {}

  /// Appends a row; `line` is its line in the file.
  ///
  /// - Parameters:
  ///   - label: the class, or what else `RowTargets` says.
  ///   - targets: the words of its targets, as many as `RowTargets` says.
  mutating func append(tokens: [Int32], typeIDs: [Int32]?, label: Int32, targets: [Int32] = [], line: Int) {
    let types = typeIDs.flatMap { $0.contains { $0 != 0 } ? $0 : nil }
    lengths.append(Int32(tokens.count))
    labels.append(label)
    hasTypes.append(types != nil)
    payload += tokens
    if let types { payload += types }
    payload += targets
    hashes.append(
      tokens.withUnsafeBufferPointer { tokens in
        guard let types else { return ContentHash.of(tokens: tokens, typeIDs: nil) }
        return types.withUnsafeBufferPointer { ContentHash.of(tokens: tokens, typeIDs: $0) }
      })
    let largest = tokens.max() ?? -1
    if largest > largestID {
      largestID = largest
      largestIDLine = Int32(truncatingIfNeeded: line)
    }
    let type = types?.max() ?? 0
    if type > largestType {
      largestType = type
      largestTypeLine = Int32(truncatingIfNeeded: line)
    }
  }

  /// Records that the next appended row is truncated.
  mutating func noteCut(line: Int) {
    if cutRows == 0 { firstCutLine = Int32(truncatingIfNeeded: line) }
    cutRows += 1
  }

  /// Appends the serialised rows to `words`.
  func write(to words: inout [Int32]) {
    words.reserveCapacity(words.count + TokenRows.headerWords + lengths.count * 5 + payload.count)
    words += [Int32(lengths.count), Int32(payload.count), largestID, largestIDLine]
    words += [largestType, largestTypeLine, cutRows, firstCutLine]
    words += lengths
    words += labels
    for flag in hasTypes { words.append(flag ? 1 : 0) }
    for hash in hashes {
      words.append(Int32(truncatingIfNeeded: hash))
      words.append(Int32(truncatingIfNeeded: hash >> 32))
    }
    words += payload
  }

  /// Parses the rows that start at word `at`, and moves `at` to the word after them.
  init(_ words: [Int32], at: inout Int) {
    let rows = Int(words[at])
    let payloadWords = Int(words[at + 1])
    largestID = words[at + 2]
    largestIDLine = words[at + 3]
    largestType = words[at + 4]
    largestTypeLine = words[at + 5]
    cutRows = words[at + 6]
    firstCutLine = words[at + 7]
    at += TokenRows.headerWords
    func take(_ count: Int) -> ArraySlice<Int32> {
      defer { at += count }
      return words[at..<(at + count)]
    }
    lengths = Array(take(rows))
    labels = Array(take(rows))
    hasTypes = take(rows).map { $0 != 0 }
    let halves = Array(take(rows * 2))
    hashes = (0..<rows).map {
      UInt64(UInt32(bitPattern: halves[2 * $0])) | UInt64(UInt32(bitPattern: halves[2 * $0 + 1])) << 32
    }
    payload = Array(take(payloadWords))
  }
}
