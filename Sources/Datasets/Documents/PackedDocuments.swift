import Collectives
import Platform
import Tokenizers

/// Documents for language modelling, packed into rows of at most `rowLength` tokens; each row is one example.
///
/// In a batch each piece of a document is its own sequence: attention and positions stay inside it. Every token of a
/// document but the first is predicted exactly once, by the token before it, for any row length: the last token of a
/// piece predicts the first token of the next piece. Prompt tokens are read but not predicted.
package final class PackedDocuments: ExampleSource {
  /// Always `languageModeling`.
  package let kind = TaskKind.languageModeling
  /// Tokens of each row, [N].
  package let lengths: [Int32]
  /// SHA-256 of everything that determines the rows, in hexadecimal.
  package let digest: String
  /// Remarks for the user, such as the number of documents without a predicted token.
  package let notes: [String]
  /// Maximum tokens of a row.
  package let rowLength: Int
  private let documents: TokenizedDataset
  private let packing: DocumentPacking
  /// Predicted tokens of each row, [N].
  private let predicted: [Int32]

  /// Packs tokenised documents.
  ///
  /// - Parameters:
  ///   - documents: of kind `languageModeling`.
  ///   - rowLength: maximum tokens of a row; nil: the length of the longest document.
  ///   - joins: true: documents share rows; false: each piece has its own row.
  ///   - source: the name of the file, for messages.
  /// Throws `.input` if no document has a token to predict.
  package init(
    _ documents: TokenizedDataset, rowLength: Int?, joins: Bool = true, source: String = "documents in memory"
  ) throws {
    let room = rowLength.map { min($0, DocumentReading.mostTokens) } ?? documents.lengths.max().map(Int.init) ?? 1
    packing = DocumentPacking(
      lengths: documents.lengths, prompts: { documents.promptTokens($0) }, rowLength: Int32(room), joins: joins)
    guard !packing.pieces.isEmpty else {
      throw RetortError(
        .input, "no document has a token to predict", at: source,
        remedy: "give documents of two tokens and more, with text behind the prompt")
    }
    self.documents = documents
    self.rowLength = room
    (lengths, predicted) = PackedDocuments.sums(packing)
    var notes = documents.notes
    if packing.emptyDocuments > 0 {
      notes.append(
        "\(source): \(packing.emptyDocuments) of \(documents.count) documents have nothing to predict and are left out")
    }
    self.notes = notes
    let digest = Digest()
    digest.update("retort packed documents 1")
    digest.update(documents.digest)
    digest.update(UInt64(room))
    if !joins { digest.update("a row each") }
    self.digest = digest.finish()
  }

  /// Opens the files of a split in order: rows of text or ids, one document each, or plain text cut as the task says.
  ///
  /// Collective, like `TokenizedDataset.open`; the cached tokens do not depend on the row length.
  ///
  /// - Parameters:
  ///   - endOfText: the token appended to a text that does not end with it; nil: none.
  ///   - options: `maxLength` is the row length.
  package static func open(
    _ split: DatasetSplit, task: TaskDescription, tokenizer: (any Tokenizer)?, endOfText: Int32?,
    options: TokenizedDataset.Options = TokenizedDataset.Options(), on communicator: any Communicator
  ) throws -> PackedDocuments {
    var reading = options
    reading.maxLength = nil
    reading.documents = DocumentReading(endOfText: endOfText)
    let documents = try TokenizedDataset.open(
      split, task: task, tokenizer: tokenizer, options: reading, on: communicator)
    return try communicator.agree { try PackedDocuments(documents, rowLength: options.maxLength, source: split.name) }
  }

  private static func sums(_ packing: DocumentPacking) -> (lengths: [Int32], predicted: [Int32]) {
    var (lengths, predicted): ([Int32], [Int32]) = ([], [])
    for (start, end) in zip(packing.rowStarts, packing.rowStarts.dropFirst()) {
      let row = packing.pieces[Int(start)..<Int(end)]
      lengths.append(row.reduce(0) { $0 + $1.count })
      predicted.append(row.reduce(0) { $0 + $1.predicted })
    }
    return (lengths, predicted)
  }

  package var count: Int { lengths.count }

  /// The number of documents with a predicted token.
  package var documentCount: Int { documents.count - packing.emptyDocuments }

  /// Tokens of all rows.
  package var totalTokens: Int { lengths.reduce(0) { $0 + Int($1) } }

  /// Predicted tokens of all rows.
  package var predictedTokens: Int { predicted.reduce(0) { $0 + Int($1) } }

  package func lossRows(_ index: Int) -> Int { Int(predicted[index]) }

  package func sequenceLengths(_ samples: [Int]) -> [Int] {
    samples.flatMap { pieces(of: $0).map { Int(packing.pieces[$0].count) } }
  }

  /// Always -1: documents have no class.
  package func label(_ index: Int) -> Int32 { -1 }

  /// Equals `lossRows`: every predicted token has a target.
  package func labelledRows(_ index: Int) -> Int { lossRows(index) }

  package var labelledCount: Int { count }

  /// A 64-bit hash of the row's pieces, the same in every run and on every machine.
  package func contentHash(_ index: Int) -> UInt64 { ContentHash.of(pieces(of: index).map(hash)) }

  package func batch(_ samples: [Int]) -> Batch {
    var batch = Batch()
    let total = samples.reduce(0) { $0 + length($1) }
    batch.tokens.reserveCapacity(total)
    batch.typeIDs.reserveCapacity(total)
    batch.positions.reserveCapacity(total)
    batch.targets.reserveCapacity(total)
    for index in samples.flatMap(pieces) { append(index, to: &batch) }
    return batch
  }

  private func append(_ index: Int, to batch: inout Batch) {
    let piece = packing.pieces[index]
    let tokens = documents.tokens(Int(piece.document))
    let (start, end) = (Int(piece.start), Int(piece.start + piece.count))
    batch.append(
      tokens: UnsafeBufferPointer(rebasing: tokens[start..<end]), typeIDs: nil, sample: index,
      contentHash: hash(index))
    let first = max(1, Int(documents.promptTokens(Int(piece.document))))
    for next in start + 1...end {
      batch.targets.append(next >= first && next < tokens.count ? tokens[next] : -1)
    }
  }

  /// The indices of a row's pieces.
  private func pieces(of row: Int) -> Range<Int> {
    Int(packing.rowStarts[row])..<Int(packing.rowStarts[row + 1])
  }

  private func hash(_ index: Int) -> UInt64 {
    let piece = packing.pieces[index]
    let document = Int(piece.document)
    return ContentHash.of([documents.contentHash(document), UInt64(piece.start), UInt64(piece.count)])
  }
}
