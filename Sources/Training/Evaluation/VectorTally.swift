import Collectives
import Datasets
import Tensors

/// The cosines of pairs of vectors, with the pairs' scores.
struct VectorTally: EvaluationTally {
  private let kind: TaskKind
  private var pairs = ScoredPairs()

  init(_ kind: TaskKind) { self.kind = kind }

  mutating func add(_ outputs: Tensor, _ batch: Batch) {
    // The length of a vector does not change a cosine.
    let vectors = TextVectors.of(outputs, batch, normalizes: false)
    let starts = batch.texts.map(\.lowerBound)
    for text in starts.indices.dropFirst() where batch.isSecond[starts[text]] {
      let target = batch.values[starts[text - 1]]
      if target.isNaN { continue }
      pairs.add(
        sample: batch.samples[starts[text - 1]], score: TextVectors.cosine(vectors[text - 1], vectors[text]),
        target: target)
    }
  }

  /// The correlations; `loss` is the mean of 1 − cosine, which no metric shows and which is finite if the vectors are.
  func result(on communicator: any Communicator) throws -> EvaluationResult {
    let (cosines, scores) = try pairs.gathered(on: communicator)
    let sum = cosines.reduce(0) { $0 + 1 - $1 }
    return EvaluationResult(
      kind: kind, count: cosines.count, loss: cosines.isEmpty ? 0 : sum / Double(cosines.count),
      values: ScoredPairs.correlations(cosines, scores))
  }
}
