/// What a data set is made of, and so which models can read it.
public enum TaskKind: String, Sendable, CaseIterable {
  /// Token sequences with a class each.
  case classification
  /// Rows of numbers with a class each.
  case features
  /// Documents, of which every token but the first is predicted.
  case languageModeling = "language_modeling"
}

/// Examples that a sampler can order and a batch can hold, whatever they are made of.
public protocol ExampleSource: Sendable {
  var kind: TaskKind { get }
  /// N, at least 1.
  var count: Int { get }
  /// The number of tokens of every example, [N]; 1 each for rows of numbers.
  var lengths: [Int32] { get }
  /// SHA-256 of everything that decides what the examples are, in hexadecimal.
  var digest: String { get }
  /// Remarks for the user about what was changed or left out while reading.
  var notes: [String] { get }
  /// The number of tokens of example `index`.
  func length(_ index: Int) -> Int
  /// The rows of the loss that example `index` has: one with a class, otherwise one for each token that is predicted.
  func lossRows(_ index: Int) -> Int
  /// Tokens of each sequence that the examples with these indices have in a batch.
  func sequenceLengths(_ samples: [Int]) -> [Int]
  /// The class of example `index`, or -1 where it has none.
  func label(_ index: Int) -> Int32
  /// The rows of `lossRows` that have a class or a next token, and so a cross-entropy.
  func labelledRows(_ index: Int) -> Int
  /// The number of examples with a class; of documents all.
  var labelledCount: Int { get }
  /// A 64-bit hash of the content of example `index` (not of its class), the same in every run and on every machine.
  func contentHash(_ index: Int) -> UInt64
  /// The examples with these indices, in this order, packed.
  func batch(_ samples: [Int]) -> Batch
}

extension ExampleSource {
  public func length(_ index: Int) -> Int { Int(lengths[index]) }
  /// One: an example has a class.
  public func lossRows(_ index: Int) -> Int { 1 }
  /// One for an example with a class, none for another.
  public func labelledRows(_ index: Int) -> Int { label(index) >= 0 ? 1 : 0 }
  /// Which of the examples have a class.
  public var labelled: LabelCoverage { LabelCoverage(labelledCount, of: count) }
  /// An example is one sequence.
  public func sequenceLengths(_ samples: [Int]) -> [Int] { samples.map(length) }
}
