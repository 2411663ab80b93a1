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
  /// The leading tokens that are a prompt, of a document.
  package var promptTokens = 0
  /// The target of each token, as in `Batch.targets`, if rows are tokens.
  package var targets: [Int32] = []
  /// The numbers of the target, as in `Batch.values`.
  package var values: [Float] = []

  /// An unchecked example; `TokenizedDataset.init(examples:)` throws for one whose ids and segments do not fit.
  package init(ids: [Int32], typeIDs: [Int32]? = nil, label: Int32 = -1) {
    self.ids = ids
    self.typeIDs = typeIDs
    self.label = label
  }

  /// A document whose first tokens are a prompt, which nothing predicts.
  package init(ids: [Int32], promptTokens: Int) {
    self.init(ids: ids)
    self.promptTokens = promptTokens
  }

  /// An example with a target for each token.
  package init(ids: [Int32], targets: [Int32]) {
    self.init(ids: ids)
    self.targets = targets
  }

  /// An example with numbers as its target.
  package init(ids: [Int32], values: [Float]) {
    self.init(ids: ids)
    self.values = values
  }

  /// An example of one or two sequences that are read apart, with the pair's score; NaN for none.
  package init(sequences: [[Int32]], score: Float = .nan) {
    self.init(ids: sequences.flatMap { $0 }, values: [score])
    targets = [Int32(sequences.first?.count ?? 0)]
  }

  /// The number of sequences of such an example.
  fileprivate var sequenceCount: Int32 { targets.first == Int32(ids.count) ? 1 : 2 }
}

/// Token sequences with their classes, in a memory-mapped file that the ranks of a node share, or in memory.
package final class TokenizedDataset: ExampleSource {
  /// The kind of the task.
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
    let targets = RowTargets(kind.definition, labels: labels?.count ?? examples[0].values.count)
    for (index, example) in examples.enumerated() {
      let typesFit = example.typeIDs.map { $0.count == example.ids.count } ?? true
      let words = example.targets + example.values.map { Int32(bitPattern: $0.bitPattern) }
      if example.ids.isEmpty || !typesFit || example.ids.contains(where: { $0 < 0 })
        || words.count != targets.words(length: example.ids.count)
      {
        throw RetortError(
          .input, "an example needs ids from 0 up, as many segments as ids, and the targets of its task",
          at: "example \(index) in memory")
      }
      content.update(UInt64(UInt32(bitPattern: example.label)))
      content.update(UInt64(example.promptTokens))
      content.update(UInt64(example.ids.count))
      example.ids.withUnsafeBytes(content.update)
      (example.typeIDs ?? []).withUnsafeBytes(content.update)
      words.withUnsafeBytes(content.update)
      let label: Int32 =
        switch targets {
        case .label: example.label
        case .nextTokens: Int32(example.promptTokens)
        case .tokens: RowTargets.label(of: example.targets)
        case .values: example.values.contains(where: \.isNaN) ? -1 : 0
        case .sequences: example.values.contains(where: \.isNaN) ? -1 - example.sequenceCount : example.sequenceCount
        }
      rows.append(tokens: example.ids, typeIDs: example.typeIDs, label: label, targets: words, line: index + 1)
    }
    let writer = try TokenFileWriter(key: content.finish(), targets: targets, path: nil)
    try writer.append(rows)
    self.init(TokenFile(image: try writer.finish() ?? []), kind: kind, labels: labels, notes: [])
  }

  package var count: Int { file.header.count }
  /// The number of examples that were cut to the maximum length.
  package var cutRows: Int { file.header.cutRows }

  package func label(_ index: Int) -> Int32 {
    check(index)
    return file.header.targets == .label ? file.labels[index] : -1
  }

  /// The number of leading tokens of a document that are a prompt.
  func promptTokens(_ index: Int) -> Int32 {
    precondition(file.header.targets == .nextTokens, "examples with targets have no prompt")
    return stored(index)
  }

  package func lossRows(_ index: Int) -> Int { file.header.targets.lossRows(label: stored(index)) }
  package func labelledRows(_ index: Int) -> Int { file.header.targets.labelledRows(label: stored(index)) }

  private func stored(_ index: Int) -> Int32 {
    check(index)
    return file.labels[index]
  }

  package var labelledCount: Int {
    kind.definition.targets == .nextTokens ? count : count - file.header.unlabelledRows
  }

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

  package func sequenceLengths(_ samples: [Int]) -> [Int] {
    if !hasSequences { return samples.map(length) }
    return samples.flatMap { sequences(of: $0).map(\.tokens.count) }
  }

  /// Whether an example can be several sequences.
  private var hasSequences: Bool { file.header.targets == .sequences || file.header.window > 0 }

  private func sequences(of sample: Int) -> [ExampleSequence] {
    let first = file.header.targets == .sequences ? Int(storedTargets(sample)[0]) : nil
    return ExampleSequence.all(of: length(sample), firstText: first, window: file.header.window)
  }

  package func batch(_ samples: [Int]) -> Batch {
    var batch = Batch()
    let total = samples.reduce(0) { $0 + length($1) }
    batch.tokens.reserveCapacity(total)
    batch.typeIDs.reserveCapacity(total)
    batch.positions.reserveCapacity(total)
    batch.offsets.reserveCapacity(samples.count + 1)
    for sample in samples {
      if hasSequences {
        appendSequences(of: sample, to: &batch)
      } else {
        batch.append(
          tokens: tokens(sample), typeIDs: storedTypes(sample), label: label(sample), sample: sample,
          contentHash: contentHash(sample))
      }
      switch file.header.targets {
      case .label, .nextTokens: break
      case .tokens: batch.targets += storedTargets(sample)
      case .values: batch.values += storedTargets(sample).map { Float(bitPattern: UInt32(bitPattern: $0)) }
      case .sequences: appendScore(of: sample, to: &batch)
      }
    }
    return batch
  }

  /// Appends the sequences of an example. The first has the example's number, further ones have numbers of no example.
  private func appendSequences(of sample: Int, to batch: inout Batch) {
    let (ids, types) = (tokens(sample), storedTypes(sample))
    for (place, sequence) in sequences(of: sample).enumerated() {
      let own = UnsafeBufferPointer(rebasing: ids[sequence.tokens])
      let ownTypes = types.map { UnsafeBufferPointer(rebasing: $0[sequence.tokens]) }
      batch.append(
        tokens: own, typeIDs: ownTypes, label: place == 0 ? label(sample) : -1, sample: sample + place * count,
        contentHash: ContentHash.of(tokens: own, typeIDs: ownTypes))
      if file.header.targets == .sequences { batch.isSecond.append(sequence.isSecond) }
      if file.header.window > 0 { batch.continues.append(sequence.isContinued) }
    }
  }

  /// Appends the score of a pair, with its first sequence.
  private func appendScore(of sample: Int, to batch: inout Batch) {
    batch.values.append(Float(bitPattern: UInt32(bitPattern: storedTargets(sample)[1])))
    batch.values += repeatElement(.nan, count: batch.count - batch.values.count)
  }

  private func storedTypes(_ index: Int) -> UnsafeBufferPointer<Int32>? {
    check(index)
    let (start, length) = (Int(file.offsets[index]), length(index))
    let words = file.header.targets.words(length: length)
    guard Int(file.offsets[index + 1]) - start - words == 2 * length else { return nil }
    return UnsafeBufferPointer(start: file.payload + start + length, count: length)
  }

  private func storedTargets(_ index: Int) -> UnsafeBufferPointer<Int32> {
    check(index)
    let words = file.header.targets.words(length: length(index))
    return UnsafeBufferPointer(start: file.payload + Int(file.offsets[index + 1]) - words, count: words)
  }

  private func check(_ index: Int) {
    precondition(index >= 0 && index < count, "example \(index) of \(count)")
  }
}
