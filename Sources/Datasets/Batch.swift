import Platform

/// Sequences packed one after the other, without padding. An example is one sequence; a row of packed documents is
/// several.
///
/// B: sequences, T: tokens of all sequences, F: numeric columns, K: numbers of a target, R: rows of the loss.
///
///     offsets    0        3                 8      10      B = 3, T = 10
///     tokens    |a a a    |b b b b b        |c c   |
///     positions |0 1 2    |0 1 2 3 4        |0 1   |
package struct Batch: Sendable, Equatable {
  /// Token ids, [T].
  package var tokens: [Int32] = []
  /// Segment of each token (0 first text, 1 second), [T].
  package var typeIDs: [Int32] = []
  /// Position of each token in its own sequence, from 0, [T].
  package var positions: [Int32] = []
  /// The start of each sequence in `tokens`, followed by T, [B+1].
  package var offsets: [Int32] = [0]
  /// Class of each sequence, -1 for unknown, [B].
  package var labels: [Int32] = []
  /// A number per sequence that is unique in its data set, [B]: the example's index if an example is one sequence.
  package var samples: [Int] = []
  /// Hash of the content of each sequence, [B].
  package var contentHashes: [UInt64] = []
  /// The target of each token: the token that it predicts, or its class; `uncounted` for a token without a row, as at
  /// the end of a document or inside a word, and `unlabelled` for a row without a class. [T], or empty if rows are
  /// sequences.
  package var targets: [Int32] = []
  /// The target of each sequence if that is numbers: a score, or for each label 1 or 0; NaN for none. [B, K], or empty.
  package var values: [Float] = []
  /// Whether each sequence is the second of its example, and the one before it the first, [B]; empty if every example
  /// is one sequence.
  package var isSecond: [Bool] = []
  /// Whether each sequence is a further window of the text of the sequence before it, [B]; empty if no text has several
  /// windows.
  package var continues: [Bool] = []
  /// Numeric columns, row by row, [B, F]; empty for token data.
  package var features: [Float] = []
  /// F; 0 for token data.
  package var featureCount = 0

  /// An empty batch.
  package init() {}

  /// B.
  package var count: Int { samples.count }
  /// The number of tokens of each sequence, [B].
  package var lengths: [Int] { zip(offsets, offsets.dropFirst()).map { Int($1 - $0) } }

  /// The target of a token that has no row of the loss.
  package static let uncounted: Int32 = -1
  /// The target of a token whose row has no class.
  package static let unlabelled: Int32 = -2

  /// Whether rows of the loss are tokens and not sequences.
  package var countsTokens: Bool { !targets.isEmpty }

  /// Indices of the tokens that are rows of the loss and of teacher signals, ascending, [R]; for batches whose rows are
  /// tokens.
  package var countedTokens: [Int32] { targets.indices.lazy.filter { targets[$0] != Batch.uncounted }.map(Int32.init) }

  /// The class of each row of the loss, negative for none, [R].
  package var rowLabels: [Int32] { countsTokens ? targets.filter { $0 != Batch.uncounted } : labels }

  /// R.
  package var rowCount: Int { countsTokens ? targets.count { $0 != Batch.uncounted } : count }

  /// The sequences of each text, in order: one, or its windows.
  package var texts: [Range<Int>] { sequences { continues.isEmpty || !continues[$0] } }

  /// The sequences of each example, in order: those of its one or two texts.
  package var examples: [Range<Int>] {
    sequences { (continues.isEmpty || !continues[$0]) && (isSecond.isEmpty || !isSecond[$0]) }
  }

  private func sequences(startingWhere isStart: (Int) -> Bool) -> [Range<Int>] {
    let starts = (0..<count).filter(isStart)
    return zip(starts, starts.dropFirst() + [count]).map { $0..<$1 }
  }

  /// T.
  package var tokenCount: Int { tokens.count }

  /// The sizes of the model's tables that the numbers of a batch index.
  package struct Bounds: Sendable, Equatable {
    /// Rows of the token embedding table; nil for numeric data.
    package var vocabulary: Int?
    /// Rows of the segment table; nil if the model has none.
    package var tokenTypes: Int?
    /// Rows of the position table; nil if the model has none.
    package var positions: Int?
    /// C, the number of outputs; for a language model the vocabulary size.
    package var classes: Int?

    /// The sizes of a model's tables; nil: no such table.
    package init(vocabulary: Int? = nil, tokenTypes: Int? = nil, positions: Int? = nil, classes: Int? = nil) {
      self.vocabulary = vocabulary
      self.tokenTypes = tokenTypes
      self.positions = positions
      self.classes = classes
    }

    /// The bounds without classes, for a pass that computes logits and no loss.
    package var ofInputs: Bounds {
      var copy = self
      copy.classes = nil
      return copy
    }
  }

  /// Throws `.input` if a token, segment, position, target or class is outside the model's tables, because the
  /// operations that index them do not check.
  package func requireWithin(_ bounds: Bounds) throws {
    try Batch.require(tokens, 0, bounds.vocabulary, "the token id", "the model's vocabulary")
    try Batch.require(typeIDs, 0, bounds.tokenTypes, "the segment", "the model's segments (type_vocab_size)")
    try Batch.require(positions, 0, bounds.positions, "the position", "the model's positions")
    try Batch.require(targets, Batch.unlabelled, bounds.classes, "the target", "the model's classes")
    try Batch.require(labels, -1, bounds.classes, "the class", "the model's classes")
  }

  private static func require(
    _ values: [Int32], _ least: Int32, _ count: Int?, _ what: String, _ table: String
  ) throws {
    guard let count else { return }
    // The loop has no branches, so the compiler vectorises it.
    var (low, high): (Int32, Int32) = (0, -1)
    for value in values {
      low = min(low, value)
      high = max(high, value)
    }
    let wrong = low < least ? low : high
    if low < least || Int(high) >= count {
      throw RetortError(
        .input, "\(what) \(wrong) of a batch is outside \(table), 0 to \(count - 1)", at: "the data",
        remedy: "check labels and ids of the data, and that its tokenizer belongs to the model")
    }
  }

  /// Appends one token sequence; `typeIDs` nil means all zeros.
  package mutating func append(
    tokens: UnsafeBufferPointer<Int32>, typeIDs: UnsafeBufferPointer<Int32>?, label: Int32 = -1, sample: Int,
    contentHash: UInt64
  ) {
    self.tokens.append(contentsOf: tokens)
    if let typeIDs {
      self.typeIDs.append(contentsOf: typeIDs)
    } else {
      self.typeIDs.append(contentsOf: repeatElement(0, count: tokens.count))
    }
    positions.append(contentsOf: 0..<Int32(tokens.count))
    offsets.append(Int32(self.tokens.count))
    labels.append(label)
    samples.append(sample)
    contentHashes.append(contentHash)
  }
}
