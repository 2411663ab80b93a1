/// A data set of any kind, for samplers and batches.
package protocol ExampleSource: Sendable {
  var kind: TaskKind { get }
  /// N, at least 1.
  var count: Int { get }
  /// The number of tokens of each example, [N]; 1 each for rows of numbers.
  var lengths: [Int32] { get }
  /// SHA-256 of everything that determines the examples, in hexadecimal.
  var digest: String { get }
  /// Remarks for the user about data changed or left out during reading.
  var notes: [String] { get }
  /// The number of tokens of example `index`.
  func length(_ index: Int) -> Int
  /// The number of loss rows of example `index`: one, or one per token that counts.
  func lossRows(_ index: Int) -> Int
  /// The number of tokens of each sequence that the examples with these indices form in a batch.
  func sequenceLengths(_ samples: [Int]) -> [Int]
  /// The class of example `index`, or -1 for none.
  func label(_ index: Int) -> Int32
  /// The number of loss rows of example `index` that have a class or target token, and therefore a cross-entropy.
  func labelledRows(_ index: Int) -> Int
  /// The number of examples with a class; for documents the number of examples.
  var labelledCount: Int { get }
  /// A 64-bit hash of the content of example `index`, without its class; equal in every run and on every machine.
  func contentHash(_ index: Int) -> UInt64
  /// A batch of the examples with these indices, in this order, packed without padding.
  func batch(_ samples: [Int]) -> Batch
}

extension ExampleSource {
  package func length(_ index: Int) -> Int { Int(lengths[index]) }
  /// One: an example is classified as a whole.
  package func lossRows(_ index: Int) -> Int { 1 }
  /// One for an example with a class, zero for one without.
  package func labelledRows(_ index: Int) -> Int { label(index) >= 0 ? 1 : 0 }
  /// Whether all, some or none of the examples have a class.
  package var labelled: LabelCoverage { LabelCoverage(labelledCount, of: count) }
  /// One sequence per example.
  package func sequenceLengths(_ samples: [Int]) -> [Int] { samples.map(length) }
}
