import Autograd
import Tensors

/// A point of a forward pass whose value an observer can read.
package enum PassPoint: Hashable, Sendable {
  /// The token states as `hidden_states` of transformers defines them, [T, hidden]: 0 is the embeddings' output, i the
  /// output of layer i; for a decoder the last one is the output of the final norm.
  case states(Int)
  /// Queries, keys and values of layer i, counted from 1, as attention reads them: [T, (H + 2·H_kv)·D].
  case projections(Int)
  /// The pooled output, [B, hidden].
  case pooled
}

/// How much of a value an observer reads.
package enum Reading: Int, Comparable, Sendable {
  case nothing
  /// Only the first token of each sequence.
  case firstTokens
  case allTokens

  package static func < (a: Reading, b: Reading) -> Bool { a.rawValue < b.rawValue }
}

/// Reads values inside a model during a forward pass, and may add losses on them to the pass's tape.
///
/// A model skips what no observer reads: the last layer of a classifier computes only first-token states unless an
/// observer reads all tokens.
package protocol PassObserver: AnyObject {
  /// How much of the value at a point is read; constant during a pass.
  func reading(of point: PassPoint) -> Reading
  /// Receives the value at a point that is read: [T, …], or [B, …] for first tokens only.
  ///
  /// Called inside the block that computes the value, and again when the backward pass recomputes that block
  /// (`context.isRecomputing`).
  func observe(_ point: PassPoint, _ x: Variable, _ context: ForwardContext)
}

/// Keeps the values at chosen points of a pass as plain tensors.
package final class RecordingObserver: PassObserver {
  private let readings: [PassPoint: Reading]
  /// The values observed so far, in the number format of the pass.
  package private(set) var values: [PassPoint: Tensor] = [:]

  /// Reads the listed points and no others.
  package init(_ readings: [PassPoint: Reading]) { self.readings = readings }

  /// Reads all tokens at the given points.
  package convenience init(all points: some Sequence<PassPoint>) {
    self.init(Dictionary(points.map { ($0, Reading.allTokens) }) { first, _ in first })
  }

  package func reading(of point: PassPoint) -> Reading { readings[point] ?? .nothing }

  package func observe(_ point: PassPoint, _ x: Variable, _ context: ForwardContext) { values[point] = x.value }
}
