import Collectives
import Platform
import Tokenizers

/// One example in memory.
package struct TokenizedExample: Sendable, Equatable {
  /// At least one id, none negative.
  package var ids: [Int32]
  /// One segment per token; nil: all zeros.
  package var typeIDs: [Int32]?
  /// The class, or -1 for none.
  package var label: Int32

  /// An unchecked example; `TokenizedDataset.init(examples:)` throws for one whose ids and segments do not fit.
  package init(ids: [Int32], typeIDs: [Int32]? = nil, label: Int32 = -1) {
    self.ids = ids
    self.typeIDs = typeIDs
    self.label = label
  }
}

/// Token sequences with their classes, in a memory-mapped file that the ranks of a node share, or in memory.
package final class TokenizedDataset: ExampleSource {
  /// `classification` or `languageModeling`.
  package let kind: TaskKind
  /// The classes; nil if labels are not read.
  package let labels: LabelSet?
  /// Tokens of each example, [N].
  package let lengths: [Int32]
  /// SHA-256 of what determines the tokens: file, columns, tokenizer, maximum length, classes; in hexadecimal.
  package let digest: String
  /// Remarks for the user, such as the number of truncated rows of ids.
  package let notes: [String]
  private let file: TokenFile

  init(_ file: TokenFile, kind: TaskKind, labels: LabelSet?, notes: [String]) {
    self.file = file
    self.kind = kind
    self.labels = labels
    self.notes = notes
    digest = file.header.key
    lengths = Array(UnsafeBufferPointer(start: file.lengths, count: file.header.count))
  }

  /// Builds a data set from examples in memory; throws `.input` if there are none or one is invalid.
  package convenience init(
    examples: [TokenizedExample], kind: TaskKind = .classification, labels: LabelSet? = nil
  ) throws {
    if examples.isEmpty { throw RetortError(.input, "has no examples", at: "data in memory") }
    var rows = TokenRows()
    let content = Digest()
    for (index, example) in examples.enumerated() {
      let typesFit = example.typeIDs.map { $0.count == example.ids.count } ?? true
      if example.ids.isEmpty || !typesFit || example.ids.contains(where: { $0 < 0 }) {
        throw RetortError(
          .input, "an example needs ids from 0 up, and as many segments as ids", at: "example \(index) in memory")
      }
      content.update(UInt64(UInt32(bitPattern: example.label)))
      content.update(UInt64(example.ids.count))
      example.ids.withUnsafeBytes(content.update)
      (example.typeIDs ?? []).withUnsafeBytes(content.update)
      rows.append(tokens: example.ids, typeIDs: example.typeIDs, label: example.label, line: index + 1)
    }
    let writer = try TokenFileWriter(key: content.finish(), path: nil)
    try writer.append(rows)
    self.init(TokenFile(image: try writer.finish() ?? []), kind: kind, labels: labels, notes: [])
  }

  package var count: Int { file.header.count }

  package func label(_ index: Int) -> Int32 {
    check(index)
    return file.labels[index]
  }

  package var labelledCount: Int { kind == .languageModeling ? count : count - file.header.unlabelledRows }

  /// The ids of an example, special tokens included, [length]; valid as long as the data set lives.
  package func tokens(_ index: Int) -> UnsafeBufferPointer<Int32> {
    check(index)
    return UnsafeBufferPointer(start: file.payload + Int(file.offsets[index]), count: length(index))
  }

  /// A 64-bit hash of ids and segments, equal in every data set and run and on every machine.
  package func contentHash(_ index: Int) -> UInt64 {
    check(index)
    return file.hashes[index]
  }

  package func batch(_ samples: [Int]) -> Batch {
    var batch = Batch()
    let total = samples.reduce(0) { $0 + length($1) }
    batch.tokens.reserveCapacity(total)
    batch.typeIDs.reserveCapacity(total)
    batch.positions.reserveCapacity(total)
    batch.offsets.reserveCapacity(samples.count + 1)
    for sample in samples {
      batch.append(
        tokens: tokens(sample), typeIDs: storedTypes(sample), label: label(sample), sample: sample,
        contentHash: contentHash(sample))
    }
    return batch
  }

  private func storedTypes(_ index: Int) -> UnsafeBufferPointer<Int32>? {
    check(index)
    let (start, length) = (Int(file.offsets[index]), length(index))
    guard Int(file.offsets[index + 1]) - start == 2 * length else { return nil }
    return UnsafeBufferPointer(start: file.payload + start + length, count: length)
  }

  private func check(_ index: Int) {
    precondition(index >= 0 && index < count, "example \(index) of \(count)")
  }
}
